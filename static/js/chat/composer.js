// The field in which one writes: Enter sends (also while Hangul is being composed), drafts survive a reload.

const HANGUL_AT_END = /[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]$/u;
const SAME_PRESS_MS = 120;

export class Composer {
  constructor(form, words, { send, stop }) {
    this.form = form;
    this.words = words;
    this.field = form.querySelector("textarea");
    this.sendButton = form.querySelector("#send");
    this.stopButton = form.querySelector("#stop");
    this.send = send;
    this.composing = false;
    this.enterWhileComposing = false;
    this.composed = "";
    this.composedAt = -Infinity;
    this.sentAt = -Infinity;
    this.field.value ||= localStorage.getItem(this.draftKey()) ?? "";
    this.listen(stop);
    this.changed();
    if (matchMedia("(pointer: fine)").matches) this.field.focus();
  }

  listen(stop) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.stopButton.addEventListener("click", stop);
    this.field.addEventListener("input", () => this.changed());
    this.field.addEventListener("keydown", (event) => this.pressed(event));
    this.field.addEventListener("compositionstart", () => {
      this.composing = true;
      this.enterWhileComposing = false;
    });
    this.field.addEventListener("compositionend", (event) => this.compositionEnded(event));
    // Some systems put in the line break of the same press without a keydown of its own.
    this.field.addEventListener("beforeinput", (event) => {
      const isBreak = event.inputType === "insertLineBreak" || event.inputType === "insertParagraph";
      if (isBreak && performance.now() - this.sentAt < SAME_PRESS_MS) event.preventDefault();
    });
  }

  /** Enter on a phone's keyboard makes a new line: there is a button to send. */
  get enterSends() {
    return !matchMedia("(pointer: coarse) and (hover: none)").matches;
  }

  pressed(event) {
    const isEnter = event.key === "Enter" || event.code === "Enter" || event.code === "NumpadEnter";
    if (!isEnter || event.shiftKey || event.altKey || !this.enterSends) return;
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

  async submit(text = this.field.value) {
    if (!text.trim() || this.tooLong(text) || this.busy) return;
    this.busy = true;
    this.sentAt = performance.now();
    const before = this.field.value;
    this.field.value = "";
    try {
      if (await this.send(text)) localStorage.removeItem(this.draftKey());
      else this.field.value = before || text;
    } finally {
      this.busy = false;
      this.changed();
    }
  }

  giveBack(text) {
    this.field.value = this.field.value ? `${text}\n${this.field.value}` : text;
    this.changed();
  }

  changed() {
    const text = this.field.value;
    if (text) localStorage.setItem(this.draftKey(), text);
    else localStorage.removeItem(this.draftKey());
    this.sendButton.disabled = !text.trim() || this.tooLong(text);
    this.showLength(text);
    if (!CSS.supports("field-sizing", "content")) {
      this.field.rows = Math.min(10, text.split("\n").length);
    }
  }

  tooLong(text) {
    return [...text].length > Number(this.words.maxChars);
  }

  showLength(text) {
    const line = document.querySelector("#problem");
    if (this.tooLong(text)) {
      const words = this.words.tooLong.replace("{n}", [...text].length).replace("{max}", this.words.maxChars);
      line.textContent = words;
      line.hidden = false;
      line.dataset.length = "";
    } else if ("length" in line.dataset) {
      delete line.dataset.length;
      line.hidden = true;
    }
  }

  setLive(isLive) {
    const hadFocus = document.activeElement === this.stopButton || document.activeElement === this.sendButton;
    this.stopButton.hidden = !isLive;
    this.sendButton.hidden = isLive;
    if (hadFocus) this.field.focus();
  }

  moveDraft(conversation) {
    const draft = localStorage.getItem(this.draftKey());
    localStorage.removeItem(this.draftKey());
    if (draft) localStorage.setItem(this.draftKey(conversation), draft);
  }

  draftKey(conversation = this.words.conversation) {
    return `draft:${this.words.user}:${conversation || "new"}`;
  }
}
