// Keeps the newest line in view until the reader scrolls up, and again once they are back at the end.

const NEAR_PX = 64;

export class Follower {
  constructor(log, jump) {
    this.log = log;
    this.jump = jump;
    this.follows = true;
    log.addEventListener("scroll", () => this.look(), { passive: true });
    new ResizeObserver(() => this.grew()).observe(log);
    jump.addEventListener("click", () => this.toEnd());
    this.toEnd();
  }

  look() {
    const distance = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
    this.follows = distance < NEAR_PX;
    this.jump.hidden = this.follows;
  }

  /** The content became longer. */
  grew() {
    if (this.follows) this.log.scrollTop = this.log.scrollHeight;
    else this.look();
  }

  toEnd() {
    this.follows = true;
    this.log.scrollTop = this.log.scrollHeight;
    this.jump.hidden = true;
  }
}
