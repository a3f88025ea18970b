// The messages on the page: text nodes while a reply is being written, the server's HTML when it has ended.

const LIVE = ["queued", "streaming"];

export class Turns extends EventTarget {
  constructor(log, words, follower) {
    super();
    this.log = log;
    this.words = words;
    this.follower = follower;
    this.frozen = new Set(); // replies that were asked to stop: what was seen is what stays
    log.addEventListener("click", (event) => this.clicked(event));
  }

  // --- asked by the page -------------------------------------------------------------------------

  /** The reply that is being written. */
  live() {
    return this.unfinished().findLast((reply) => LIVE.includes(reply.state)) ?? null;
  }

  /** Replies whose end has not come: those being written, and those that ended while the line was down. */
  unfinished() {
    return [...this.log.querySelectorAll("[data-unfinished]")].map((turn) => ({
      id: Number(turn.dataset.reply),
      seq: Number(turn.dataset.seq),
      state: turn.dataset.state,
    }));
  }

  lastMessage() {
    const last = [...this.log.querySelectorAll("[data-message]")].at(-1);
    return last?.dataset.message ? Number(last.dataset.message) : null;
  }

  addPending(key, text, parent) {
    const turn = this.add("#user-turn");
    turn.dataset.pending = key;
    turn.dataset.parent = parent ?? "";
    turn.querySelector("[data-text]").textContent = text;
    this.follower.toEnd();
  }

  drop(key) {
    this.pending(key)?.remove();
  }

  /** Removes an unlucky turn with its question, and returns what to send again. */
  takeBack(reply) {
    const turn = this.reply(reply);
    const question = turn.previousElementSibling;
    const text = question.querySelector("[data-text]").textContent;
    const parent = question.dataset.parent ? Number(question.dataset.parent) : null;
    question.remove();
    turn.remove();
    return { text, parent };
  }

  freeze(reply) {
    this.frozen.add(reply);
    return Number(this.reply(reply).dataset.seq);
  }

  // --- told by the server ------------------------------------------------------------------------

  accept({ key, message, reply }) {
    if (this.reply(reply.id)) {
      this.drop(key); // the page had it already: the answer to the first send was lost on the way
      return;
    }
    let question = this.pending(key);
    if (!question) {
      question = this.add("#user-turn"); // sent from another tab
      question.querySelector("[data-text]").textContent = message.text;
    }
    delete question.dataset.pending;
    question.dataset.message = message.id;
    question.dataset.parent = message.parent ?? "";
    const turn = this.add("#assistant-turn");
    turn.dataset.message = reply.message;
    turn.dataset.reply = reply.id;
    turn.dataset.unfinished = "";
    turn.querySelector("[data-report]")?.setAttribute("href", this.reportAddress(turn, reply.message));
    this.setState({ reply: reply.id, state: "queued" });
    this.follower.toEnd();
  }

  reportAddress(turn, message) {
    return turn.querySelector("[data-report]").getAttribute("href").replace("/0/", `/${message}/`);
  }

  setState({ reply, state, position, policy, retryable, error }) {
    const turn = this.reply(reply);
    if (!turn) return;
    turn.dataset.state = state;
    const place = position ? this.words.place.replace("{n}", position) : "";
    turn.querySelector("[data-state-words]").textContent = wording(error) || place || (this.words[state] ?? "");
    turn.querySelector("[data-retry]").hidden = !(retryable || state === "interrupted" || state === "failed");
    if (policy) this.setPolicy(turn, policy);
    this.follower.grew();
  }

  setPolicy(turn, policy) {
    const badge = turn.querySelector("[data-policy]");
    badge.textContent = typeof policy === "object" ? `${policy.name} · v${policy.version}` : policy;
    badge.hidden = false;
  }

  addChunk({ reply, seq, text }) {
    const turn = this.reply(reply);
    if (!turn || this.frozen.has(reply) || seq <= Number(turn.dataset.seq)) return;
    turn.dataset.seq = seq;
    turn.querySelector("[data-text]").append(text);
    this.follower.grew();
  }

  finish({ reply, state, html, text, policy, seq }) {
    const turn = this.reply(reply);
    if (!turn) return "";
    this.frozen.delete(reply);
    const body = turn.querySelector("[data-text]");
    body.classList.replace("plain", "prose");
    body.innerHTML = html; // made and sanitised by the server, the only place that makes HTML
    turn.dataset.seq = seq ?? turn.dataset.seq;
    turn.querySelector("[data-actions]").hidden = false;
    delete turn.dataset.unfinished;
    if (turn.dataset.state !== state) this.setState({ reply, state, policy });
    this.follower.grew();
    return text ?? body.innerText;
  }

  // --- inner -------------------------------------------------------------------------------------

  add(template) {
    document.querySelector("#welcome")?.remove();
    const turn = document.querySelector(template).content.firstElementChild.cloneNode(true);
    this.log.append(turn);
    return turn;
  }

  pending(key) {
    return this.log.querySelector(`[data-pending="${CSS.escape(key)}"]`);
  }

  reply(id) {
    return this.log.querySelector(`[data-reply="${Number(id)}"]`);
  }

  async clicked(event) {
    const turn = event.target.closest(".turn");
    if (event.target.closest("[data-retry]")) {
      this.dispatchEvent(new CustomEvent("retry", { detail: Number(turn.dataset.reply) }));
    }
    const copy = event.target.closest("[data-copy]");
    if (!copy) return;
    await navigator.clipboard.writeText(turn.querySelector("[data-text]").innerText);
    copy.title = this.words.copied;
    document.querySelector("#announcement").textContent = this.words.copied;
  }
}

/** What the server says of an error: words, or a bare code that says nothing to a reader. */
function wording(error) {
  const text = typeof error === "object" && error ? error.message : error;
  return text && /\s/.test(text) ? text : "";
}
