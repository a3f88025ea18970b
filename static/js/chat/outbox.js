// What the page sent and the server has not acknowledged: sent again on every new line, where its key makes it harmless.

export class Outbox {
  constructor(words) {
    this.words = words;
    this.frames = new Map(); // key -> frame
  }

  /** Messages of this conversation that an earlier page sent in vain. */
  recall() {
    const kept = JSON.parse(localStorage.getItem(this.place()) ?? "[]");
    for (const frame of kept) this.frames.set(frame.key, frame);
    return kept;
  }

  /** Gives the frame a key unless it has one, and keeps it until it is taken out. */
  put(frame) {
    const kept = { ...frame, key: frame.key ?? newKey() };
    this.frames.set(kept.key, kept);
    this.remember();
    return kept;
  }

  take(key) {
    const frame = this.frames.get(key);
    if (this.frames.delete(key)) this.remember();
    return frame;
  }

  get all() {
    return [...this.frames.values()];
  }

  /** What a person wrote survives a reload; the rest is asked for with a click. */
  remember() {
    if (this.words.temporary) return; // nothing of it is kept here either
    const messages = this.all.filter((frame) => frame.type === "message.send");
    if (messages.length) localStorage.setItem(this.place(), JSON.stringify(messages));
    else localStorage.removeItem(this.place());
  }

  place() {
    return `unsent:${this.words.user}:${this.words.conversation}`;
  }
}

export function newKey() {
  return crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`;
}
