// The messages on the page: text nodes while a reply is being written, the server's HTML when it has ended.

import { copyBy } from "../clipboard.js";
import { dress } from "../prose.js";

const LIVE = ["queued", "streaming"];
const BROKEN_OFF = ["stopped", "interrupted"];

export class Turns extends EventTarget {
  constructor(log, words, follower) {
    super();
    this.log = log;
    this.words = words;
    this.follower = follower;
    this.frozen = new Map(); // replies that were asked to stop -> the last chunk that was seen: that is what stays
    log.addEventListener("click", (event) => this.clicked(event));
  }

  // --- asked by the page -------------------------------------------------------------------------

  /** The reply that is being written. */
  live() {
    return this.unfinished().findLast((reply) => LIVE.includes(reply.state)) ?? null;
  }

  /** Every reply that is being written: two where they stand side by side. */
  allLive() {
    return this.unfinished().filter((reply) => LIVE.includes(reply.state));
  }

  /** Replies whose end has not come: those being written, and those that ended while the line was down. */
  unfinished() {
    return [...this.log.querySelectorAll("[data-unfinished]")].map((turn) => ({
      id: Number(turn.dataset.reply),
      seq: Number(turn.dataset.seq),
      state: turn.dataset.state,
    }));
  }

  /** The message that the next one follows; of two that stand side by side the left one. */
  lastMessage() {
    const last = [...this.log.querySelectorAll("[data-message]:not([data-message=''])")].at(-1);
    const shown = last?.closest("[data-pair]")?.querySelector("[data-message]") ?? last;
    return shown ? Number(shown.dataset.message) : null;
  }

  /** What the page says of a reply beside its text: that it waits, stopped, was blocked. */
  stateOf(reply) {
    return this.reply(reply)?.querySelector("[data-state-words]").textContent ?? "";
  }

  addPending(key, text, parent) {
    if (this.log.querySelector(`[data-key="${CSS.escape(key)}"]`)) return; // the page came with it
    const turn = this.add("#user-turn");
    turn.dataset.pending = key;
    turn.dataset.parent = parent ?? "";
    turn.querySelector("[data-text]").textContent = text;
    this.follower.toEnd();
  }

  drop(key) {
    this.pending(key)?.remove();
  }

  /** Takes a message and whatever comes after it off the page: another version of it is on its way. */
  cutFrom(turn) {
    while (turn.nextElementSibling) turn.nextElementSibling.remove();
    turn.remove();
  }

  freeze(reply) {
    const seq = Number(this.reply(reply).dataset.seq);
    this.frozen.set(reply, seq);
    return seq;
  }

  // --- told by the server ------------------------------------------------------------------------

  /** The server took a message that this page sent. */
  accept({ key, message, reply, pair }) {
    const question = this.pending(key);
    if (!question || this.message(message.id)) {
      question?.remove(); // the page had it already: the answer to the first send was lost on the way
      return;
    }
    delete question.dataset.pending;
    question.dataset.message = message.id;
    question.dataset.parent = message.parent ?? "";
    if (pair) return; // the server draws the two
    const turn = this.add("#assistant-turn");
    turn.dataset.message = reply.message;
    turn.dataset.reply = reply.id;
    turn.dataset.unfinished = "";
    for (const link of turn.querySelectorAll("a[href*='/0/']")) {
      link.setAttribute("href", link.getAttribute("href").replace("/0/", `/${reply.message}/`));
    }
    this.setState({ reply: reply.id, state: "queued" });
    this.follower.toEnd();
  }

  setState({ reply, state, policy, retryable, error, ...told }) {
    const turn = this.reply(reply);
    if (!turn) return;
    turn.dataset.state = state;
    turn.querySelector("[data-state-words]").textContent = wording(error) || this.wordsFor(state, turn, told);
    turn.querySelector("[data-retry]").hidden = !(retryable || state === "interrupted" || state === "failed");
    if (told.trimmed) {
      const notice = turn.querySelector("[data-trimmed]");
      notice.textContent = this.words.trimmed.replace("{n}", told.trimmed);
      notice.hidden = false;
    }
    if (policy) this.setPolicy(turn, policy);
    if (told.choice) this.setChoice(turn, told.choice);
    this.follower.grew();
  }

  wordsFor(state, turn, { position, seconds, engine, blocked_by: rule, choice }) {
    const words = this.words;
    if (state === "queued" && position) {
      const soon = Number.isFinite(seconds); // null: nobody can tell
      const place = (soon ? words.placeSoon.replace("{s}", Math.ceil(seconds)) : words.place).replace("{n}", position);
      return [place, { starting: words.starting, restarting: words.restarting }[engine]].filter(Boolean).join(". ");
    }
    if (state === "streaming" && choice?.outcome === "open") {
      return choice.best_of > 1 ? words.choosing.replace("{n}", choice.best_of) : words.checking;
    }
    if (state === "streaming" && !Number(turn.dataset.seq)) return words.thinking;
    if (state === "blocked" && rule?.name) return words.blockedBy.replace("{name}", rule.name);
    return words[state] ?? "";
  }

  setPolicy(turn, policy) {
    const badge = turn.querySelector("[data-policy]");
    if (!badge) return;
    badge.textContent = typeof policy === "object" ? `${policy.name} · v${policy.version}` : policy;
    badge.hidden = false;
    const simulated = turn.querySelector("[data-simulated]");
    if (simulated) simulated.hidden = !policy.simulated;
  }

  /** Among how many completions it was chosen, or that it was not because the scorer failed. */
  setChoice(turn, { best_of: bestOf, outcome, took_ms: tookMs }) {
    const link = turn.querySelector("[data-among]");
    if (!link || !["chosen", "unscored"].includes(outcome) || bestOf < 2) return;
    const words = outcome === "chosen" ? this.words.chosen : this.words.notChosen;
    link.textContent = words.replace("{n}", bestOf).replace("{ms}", tookMs);
    link.href = link.dataset.url.replace("/0/", `/${turn.dataset.reply}/`);
    link.hidden = false;
  }

  /** The text of the chunks numbered `first` to `seq`. */
  addChunk({ reply, first, seq, text }) {
    const turn = this.reply(reply);
    if (!turn || this.frozen.has(reply)) return;
    const seen = Number(turn.dataset.seq);
    if (seq <= seen) return;
    if (first !== seen + 1) {
      this.askForMissing(turn, seen);
      return;
    }
    turn.dataset.seq = seq;
    if (!seen && turn.dataset.state === "streaming") {
      turn.querySelector("[data-state-words]").textContent = this.words.streaming;
    }
    turn.querySelector("[data-text]").append(text);
    this.follower.grew();
  }

  /** What came before the turn stood on the page; asked for once. */
  askForMissing(turn, seen) {
    if (turn.dataset.asked === String(seen)) return;
    turn.dataset.asked = seen;
    this.dispatchEvent(new CustomEvent("missing", { detail: { id: Number(turn.dataset.reply), seq: seen } }));
  }

  /** The text of the ended reply, if it is on the page. */
  finish({ reply, state, html, text, policy, seq, finish_reason: reason }) {
    this.frozen.delete(reply);
    const turn = this.reply(reply);
    if (!turn) return "";
    const body = turn.querySelector("[data-text]");
    body.classList.replace("plain", "prose");
    body.innerHTML = html; // made and sanitised by the server, the only place that makes HTML
    dress(turn);
    const source = turn.querySelector("[data-source]");
    if (source) source.content.textContent = text;
    turn.dataset.seq = seq ?? turn.dataset.seq;
    turn.querySelector("[data-actions]")?.removeAttribute("hidden");
    delete turn.dataset.unfinished;
    if (turn.dataset.state !== state) this.setState({ reply, state, policy });
    const isCut = state === "complete" && reason === "length";
    const isEmpty = state === "complete" && !(text ?? body.textContent).trim();
    if (isCut || isEmpty) turn.querySelector("[data-state-words]").textContent = isCut ? this.words.cut : this.words.empty;
    const goOn = turn.querySelector("[data-continue]");
    if (goOn) goOn.hidden = !(text?.trim() && (isCut || BROKEN_OFF.includes(state)));
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

  message(id) {
    return this.log.querySelector(`[data-message="${Number(id)}"]`);
  }

  reply(id) {
    return this.log.querySelector(`[data-reply="${Number(id)}"]`);
  }

  clicked(event) {
    const turn = event.target.closest(".turn");
    const button = event.target.closest("[data-regenerate], [data-continue], [data-open], [data-edit], [data-copy]");
    if (!turn || !button) return;
    if ("copy" in button.dataset) copyBy(button, sourceOf(turn));
    else if ("continue" in button.dataset) this.goOn(turn);
    else if ("edit" in button.dataset) this.dispatchEvent(new CustomEvent("edit", { detail: turn }));
    else if ("regenerate" in button.dataset) this.dispatchEvent(new CustomEvent("regenerate", { detail: turn }));
    else this.dispatchEvent(new CustomEvent("open", { detail: { turn, button } }));
  }

  /** Another version of the reply, which begins with all of this one. */
  goOn(turn) {
    const detail = { message: turn.dataset.message, prefix: sourceOf(turn) };
    this.log.dispatchEvent(new CustomEvent("regenerate", { detail }));
  }
}

/** What was written, as it was written: marks of lists and fences of code are no text on the page. */
function sourceOf(turn) {
  const source = turn.querySelector("[data-source]");
  return (source?.content ?? turn.querySelector("[data-text]")).textContent;
}

/** What the server says of an error: words, or a bare code that says nothing to a reader. */
function wording(error) {
  const text = typeof error === "object" && error ? error.message : error;
  return text && /\s/.test(text) ? text : "";
}
