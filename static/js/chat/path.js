// The path that is open, as the server draws it: laid over the page, which keeps what it already shows.

import { dress } from "../prose.js";

const PATIENCE_MS = 10_000;

export class Path extends EventTarget {
  constructor(log, words) {
    super();
    this.log = log;
    this.words = words;
    this.version = 0; // of what the page knows: an answer that is older than that is asked for again
    this.running = null;
  }

  /** Something on the page changed that an answer which is already under way cannot know. */
  touch() {
    this.version += 1;
  }

  /** Fetches the path and lays it over the page; false if the site did not answer. One fetch at a time. */
  sync() {
    this.touch();
    this.running ??= this.fetched().finally(() => (this.running = null));
    return this.running;
  }

  async fetched() {
    for (;;) {
      const version = this.version;
      const html = await this.drawn().catch((error) => console.warn(error));
      if (html === undefined) return false;
      if (version === this.version) this.lay(html);
      if (version === this.version) return true; // else whoever heard of it knows of something newer
    }
  }

  async drawn() {
    const answer = await fetch(`/c/${this.words.conversation}/path/`, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(PATIENCE_MS), // a dead line may never say so
    });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    return answer.text();
  }

  lay(html) {
    this.dispatchEvent(new Event("laying"));
    const drawn = document.createElement("template");
    drawn.innerHTML = html; // the server's own page
    const wanted = [...drawn.content.children];
    const taken = wanted.map(({ dataset }) => dataset.key).filter(Boolean);
    taken.forEach((key) => this.takePending(key)); // the server has it: its word on that may come later, or never
    this.dispatchEvent(new CustomEvent("taken", { detail: taken }));
    const shown = [...this.log.children].filter((turn) => !("pending" in turn.dataset));
    let same = 0;
    while (same < shown.length && same < wanted.length && isSame(shown[same], wanted[same])) {
      updatePager(shown[same], wanted[same]);
      same += 1;
    }
    if (wanted.length || shown.some((turn) => turn.id !== "welcome")) {
      for (const turn of shown.slice(same)) turn.remove();
    }
    const pending = this.log.querySelector("[data-pending]");
    for (const turn of wanted.slice(same)) {
      this.log.insertBefore(turn, pending);
      dress(turn);
    }
    this.dispatchEvent(new CustomEvent("laid", { detail: wanted.slice(same) }));
  }

  takePending(key) {
    this.log.querySelector(`[data-pending="${CSS.escape(key)}"]`)?.remove();
  }
}

function isSame(shown, wanted) {
  const isHidden = (turn) => !turn.querySelector("[data-text]");
  return (
    shown.dataset.message === wanted.dataset.message &&
    shown.dataset.pair === wanted.dataset.pair &&
    isHidden(shown) === isHidden(wanted)
  );
}

function updatePager(shown, wanted) {
  const [former, current] = [shown, wanted].map((turn) => turn.querySelector("[data-pager]"));
  if (former && current && former.outerHTML !== current.outerHTML) former.replaceWith(current);
}
