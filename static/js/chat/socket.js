// A websocket that comes back: growing pauses with jitter, a ping that notices dead lines, and reasons when refused.

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 15_000;
const PING_EVERY_MS = 20_000;
const SILENCE_MS = 45_000;
const ANSWER_MS = 5_000;

export class Socket extends EventTarget {
  /** `page`: an address that tells by its answer why the socket is refused. */
  constructor(address, page) {
    super();
    this.address = address;
    this.page = page;
    this.failures = 0;
    this.given_up = false;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    setInterval(() => this.ping(), PING_EVERY_MS);
    this.open();
  }

  /** Sends now, or not at all: on "open" the owner sends again what matters. */
  send(frame) {
    if (this.line.readyState === WebSocket.OPEN) this.line.send(JSON.stringify(frame));
  }

  open() {
    const line = new WebSocket(this.address);
    this.line = line;
    this.opened = false;
    line.onopen = () => {
      this.opened = true;
      this.failures = 0;
      this.heard = Date.now();
      this.dispatchEvent(new Event("open"));
    };
    line.onmessage = (event) => {
      this.heard = Date.now();
      this.dispatchEvent(new CustomEvent("frame", { detail: JSON.parse(event.data) }));
    };
    line.onclose = (event) => line === this.line && this.lost(event.code);
  }

  async lost(code) {
    this.dispatchEvent(new Event("lost"));
    if (code === 4401) return this.giveUp("signedOut");
    if (!this.opened && this.failures >= 1) {
      const reason = await this.reasonOfRefusal();
      if (reason) return this.giveUp(reason);
    }
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.failures);
    const pause = code === 1008 ? 10_000 : longest / 2 + (Math.random() * longest) / 2;
    this.failures += 1;
    this.timer = setTimeout(() => this.open(), pause);
  }

  /** A refused handshake says nothing to a page; an ordinary request does. */
  async reasonOfRefusal() {
    try {
      const answer = await fetch(this.page, { method: "HEAD", redirect: "manual" });
      if (answer.type === "opaqueredirect") return "signedOut";
      return answer.status === 404 ? "gone" : "";
    } catch {
      return "";
    }
  }

  giveUp(reason) {
    this.given_up = true;
    this.dispatchEvent(new CustomEvent("refused", { detail: reason }));
  }

  get isOpen() {
    return this.line.readyState === WebSocket.OPEN;
  }

  /** The network came back or the page is looked at again: no need to wait out the pause. */
  hurry() {
    if (this.given_up) return;
    if (this.isOpen) return this.probe();
    if (this.line.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.timer);
    this.open();
  }

  /** A line that slept with the computer looks open: it has a few seconds to say something. */
  probe() {
    const [line, asked] = [this.line, Date.now()];
    this.send({ type: "ping" });
    setTimeout(() => {
      if (line === this.line && this.isOpen && this.heard < asked) this.drop();
    }, ANSWER_MS);
  }

  ping() {
    if (!this.isOpen) return;
    if (Date.now() - this.heard > SILENCE_MS) this.drop();
    else this.send({ type: "ping" });
  }

  /** Gives up a line that is dead without saying so. */
  drop() {
    const dead = this.line;
    dead.onclose = dead.onmessage = null;
    dead.close();
    this.lost(1006);
  }
}
