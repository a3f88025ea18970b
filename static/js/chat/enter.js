// Enter sends what a field holds, also while Hangul is being composed; with Shift, and on a phone, it makes a new line.

const HANGUL_AT_END = /[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]$/u;
const SAME_PRESS_MS = 120;

export class Enter {
  constructor(field, send) {
    this.send = send;
    this.composing = false;
    this.enterWhileComposing = false;
    this.composed = "";
    this.composedAt = -Infinity;
    this.sentAt = -Infinity;
    field.addEventListener("keydown", (event) => this.pressed(event));
    field.addEventListener("compositionstart", () => {
      this.composing = true;
      this.enterWhileComposing = false;
    });
    field.addEventListener("compositionend", (event) => this.compositionEnded(event));
    // Some systems put in the line break of the same press without a keydown of its own.
    field.addEventListener("beforeinput", (event) => {
      const isBreak = event.inputType === "insertLineBreak" || event.inputType === "insertParagraph";
      if (isBreak && performance.now() - this.sentAt < SAME_PRESS_MS) event.preventDefault();
    });
  }

  /** Enter on a phone's keyboard makes a new line: there is a button to send. */
  get sends() {
    return !matchMedia("(pointer: coarse) and (hover: none)").matches;
  }

  pressed(event) {
    const isEnter = event.key === "Enter" || event.code === "Enter" || event.code === "NumpadEnter";
    if (!isEnter || event.shiftKey || event.altKey || !this.sends) return;
    if (this.composing || event.isComposing) {
      this.enterWhileComposing = true; // decided when the composition ends
      return;
    }
    const endedByThisPress = performance.now() - this.composedAt < SAME_PRESS_MS;
    if (event.keyCode === 229 && endedByThisPress && !HANGUL_AT_END.test(this.composed)) return;
    event.preventDefault();
    if (performance.now() - this.sentAt < SAME_PRESS_MS) return; // the same press, told twice
    this.submit();
  }

  /** Enter ends a Hangul syllable and means "send"; in Japanese and Chinese it only picks a word. */
  compositionEnded(event) {
    this.composing = false;
    this.composed = event.data ?? "";
    this.composedAt = performance.now();
    if (this.enterWhileComposing && HANGUL_AT_END.test(this.composed)) this.submit();
    this.enterWhileComposing = false;
  }

  submit() {
    this.sentAt = performance.now();
    this.send();
  }
}
