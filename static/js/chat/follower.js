// Keeps the newest line in view until the reader scrolls up, and again once they are back at the end.

const AT_END_PX = 1;
const NEAR_PX = 64;
const LEAVE_PX = 2;

export class Follower {
  constructor(log, jump) {
    this.log = log;
    this.jump = jump;
    this.follows = true;
    this.top = 0;
    log.addEventListener("scroll", () => this.look(), { passive: true });
    // Heard before the page has moved: else a piece of text that comes now would take it back to the end.
    log.addEventListener("wheel", (event) => event.deltaY < 0 && this.leave(), { passive: true });
    new ResizeObserver(() => this.grew()).observe(log);
    jump.addEventListener("click", () => this.toEnd());
    if (!this.isEmpty) this.toEnd();
  }

  /** Before the first message the page begins at its top, and there is nothing to follow. */
  get isEmpty() {
    return this.log.querySelector("#welcome") !== null;
  }

  /** Only a reader scrolls up, however little: that ends it, and a page that grows does not. */
  look() {
    if (this.isEmpty) return;
    const distance = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
    if (distance < AT_END_PX) this.follows = true;
    else if (this.log.scrollTop < this.top) this.follows = false;
    else if (this.log.scrollTop > this.top && distance < NEAR_PX) this.follows = true;
    this.top = this.log.scrollTop;
    this.jump.hidden = this.follows;
  }

  /** Away from the end at once: text that came between the turn of the wheel and its scrolling had the page there. */
  leave() {
    if (this.isEmpty) return;
    if (this.log.scrollTop > 0) {
      this.follows = false;
      this.log.scrollTop -= LEAVE_PX;
      this.top = this.log.scrollTop;
    }
    this.jump.hidden = this.follows;
  }

  /** The content became longer. */
  grew() {
    if (this.isEmpty) return;
    if (this.follows) this.log.scrollTop = this.log.scrollHeight;
    else this.look();
  }

  toEnd() {
    this.follows = true;
    this.log.scrollTop = this.log.scrollHeight;
    this.jump.hidden = true;
  }

  /** Shows a turn wherever it stands; a page that is still being laid out does not go on to its end. */
  lookAt(turn) {
    this.follows = false;
    turn.scrollIntoView({ block: "center" });
    this.top = this.log.scrollTop;
    this.look();
  }

  /** Keeps in place what moved by so many pixels; the reader looks there, not at the end. */
  shift(pixels) {
    this.follows = false;
    this.log.scrollTop += pixels;
    this.top = this.log.scrollTop;
    this.look();
  }
}
