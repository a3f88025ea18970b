// The field in which one writes: what is typed survives a reload, a send that fails gives it back.

import { Enter } from "./enter.js";
import { tooLong } from "./length.js";

export class Composer {
  constructor(form, words, { send, stop }) {
    this.form = form;
    this.words = words;
    this.field = form.querySelector("textarea");
    this.sendButton = form.querySelector("#send");
    this.stopButton = form.querySelector("#stop");
    this.send = send;
    this.drafts = words.temporary ? null : localStorage; // of a temporary chat nothing is kept here either
    this.field.value ||= this.drafts?.getItem(this.draftKey()) ?? "";
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
    new Enter(this.field, () => this.submit());
  }

  async submit(text = this.field.value) {
    if (!text.trim() || tooLong(text, this.words) || this.busy) return;
    this.busy = true;
    const before = this.field.value;
    this.field.value = "";
    try {
      if (await this.send(text)) this.drafts?.removeItem(this.draftKey());
      else this.giveBack(before || text);
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
    if (text) this.drafts?.setItem(this.draftKey(), text);
    else this.drafts?.removeItem(this.draftKey());
    this.sendButton.disabled = !text.trim() || Boolean(tooLong(text, this.words));
    this.showLength(text);
    if (!CSS.supports("field-sizing", "content")) {
      this.field.rows = Math.min(10, text.split("\n").length);
    }
  }

  showLength(text) {
    const line = document.querySelector("#problem");
    const words = tooLong(text, this.words);
    if (words) {
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
    const draft = this.drafts?.getItem(this.draftKey());
    this.drafts?.removeItem(this.draftKey());
    if (draft) this.drafts?.setItem(this.draftKey(conversation), draft);
  }

  draftKey(conversation = this.words.conversation) {
    return `draft:${this.words.user}:${conversation || "new"}`;
  }
}
