// Two replies side by side: the choice by button or key, and what is told after it. Who wrote them the page does not
// know until then.

const KEYS = { 1: "left", 2: "right", 3: "tie", 4: "both_bad" };
const BROKEN = ["failed", "interrupted", "blocked"];

export function keepPairs(log, words, { say, announce, csrf, sync }) {
  const since = new WeakMap(); // section -> when both replies could be read
  const verdicts = new Map(); // pair -> what was told of it, laid under the winner whenever the path is drawn
  let busy = false;

  const open = () => log.querySelector("[data-pair]");
  const sides = (pair) => [...pair.querySelectorAll("[data-side]")];
  const isBroken = (side) => BROKEN.includes(side.dataset.state) || !side.querySelector("[data-text]");

  function look() {
    const pair = open();
    if (!pair) return;
    const broken = sides(pair).some(isBroken);
    const canChoose = !broken && sides(pair).every((side) => side.querySelector("[data-text]").textContent.trim());
    for (const button of pair.querySelectorAll("[data-choice]")) button.disabled = !canChoose;
    pair.querySelector("[data-choices]").hidden = broken;
    pair.querySelector("[data-broken]").hidden = !broken;
    pair.querySelector("[data-wait]").hidden = broken || canChoose;
    if (canChoose && !since.has(pair)) since.set(pair, performance.now());
  }

  async function post(url, fields) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    const headers = { Accept: "application/json", "X-CSRFToken": csrf() };
    const answer = await fetch(url, { method: "POST", body, headers });
    const said = await answer.json();
    return { ok: answer.ok, said };
  }

  /** One at a time; a choice that was not taken says why and leaves the two where they are. */
  async function ask(url, fields, done) {
    if (busy) return;
    busy = true;
    try {
      const { ok, said } = await post(url, fields);
      say(ok ? "" : said.message);
      if (ok) await done(said);
      else if (said.code === "lapsed" || said.code === "already_chosen") await sync();
    } catch (error) {
      console.warn(error);
      say(words.choiceFailed);
    } finally {
      busy = false;
    }
  }

  function choose(pair, choice) {
    const button = pair.querySelector(`[data-choice="${choice}"]`);
    if (button.disabled || pair.querySelector("[data-choices]").hidden) return;
    const seconds = (performance.now() - (since.get(pair) ?? performance.now())) / 1000;
    ask(pair.dataset.chooseUrl, { choice, seconds: seconds.toFixed(1) }, told);
  }

  function giveUp(pair) {
    const kept = sides(pair).find((side) => !isBroken(side)) ?? sides(pair)[0];
    ask(pair.dataset.giveUpUrl, { side: kept.dataset.side }, told);
  }

  // --- what is told --------------------------------------------------------------------------------

  async function told(frame) {
    if (verdicts.has(frame.id)) return;
    verdicts.set(frame.id, frame);
    await sync();
    lay();
    announce(verdictOf(frame));
    log.querySelector(`[data-verdict="${frame.id}"] button`)?.focus();
  }

  const nameOf = ({ policy }) => (policy ? `${policy.name} · v${policy.version}` : "…");

  function verdictOf({ choice, discounted, left, right }) {
    const [one, other] = [nameOf(left), nameOf(right)];
    const both =
      one === other ? words.pairSame.replace("{name}", one) : words.pairNames.replace("{left}", one).replace("{right}", other);
    const chosen = { left: words.choseLeft, right: words.choseRight, tie: words.choseTie, both_bad: words.choseBad };
    return [chosen[choice] ?? words.choseNone, both, discounted ? words.notCounted : ""].filter(Boolean).join(" ");
  }

  function lay() {
    for (const frame of verdicts.values()) {
      const turn = log.querySelector(`.turn[data-message="${frame.winner}"]:not([data-side])`);
      if (!turn || turn.querySelector("[data-verdict]")) continue;
      const note = document.createElement("p");
      note.className = "verdict small";
      note.dataset.verdict = frame.id;
      note.append(verdictOf(frame));
      if (frame.choice === "both_bad") note.append(again(frame, note));
      turn.querySelector(".turn-body").append(note);
    }
  }

  function again(frame, note) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = words.writeAnother;
    button.addEventListener("click", () => {
      note.remove();
      verdicts.delete(frame.id);
      log.dispatchEvent(new CustomEvent("regenerate", { detail: { message: frame.winner } }));
    });
    return button;
  }

  // --- events --------------------------------------------------------------------------------------

  log.addEventListener("click", (event) => {
    const pair = event.target.closest("[data-pair]");
    if (!pair) return;
    const button = event.target.closest("[data-choice], [data-give-up], [data-never]");
    if (button?.dataset.choice) choose(pair, button.dataset.choice);
    else if (button && "giveUp" in button.dataset) giveUp(pair);
    else if (button) {
      ask(button.dataset.url, { is_on: "" }, () => {
        button.disabled = true;
        announce(words.noMorePairs);
      });
    }
  });

  document.addEventListener("keydown", (event) => {
    const pair = open();
    const isElsewhere = event.target.closest?.("textarea, input, select, dialog, [contenteditable], [popover]");
    if (!pair || !KEYS[event.key] || isElsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(pair, KEYS[event.key]);
  });

  log.addEventListener("frame:pair.revealed", ({ detail }) => told(detail));
  log.addEventListener("path", () => {
    look();
    lay();
  });
  const observer = new MutationObserver(look);
  observer.observe(log, { subtree: true, attributes: true, attributeFilter: ["data-state", "data-seq"] });
  look();
}
