// Puts text on the clipboard, and shows on the button that asked for it that it is there.

const SHOWN_MS = 2_000;

/** Copies and says so: a tick in place of the icon, the word to a screen reader. False where the browser forbids it. */
export async function copyBy(button, text) {
  const words = document.querySelector("#copy-code").dataset;
  const isCopied = await written(text, button);
  tell(isCopied ? words.copied : words.notCopied);
  if (isCopied) tick(button, words.copied);
  return isCopied;
}

async function written(text, beside) {
  try {
    if (!navigator.clipboard) return selected(text, beside);
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    console.warn(error);
    return selected(text, beside);
  }
}

/** A page without TLS has no clipboard but that of a selection. */
function selected(text, beside) {
  const field = document.createElement("textarea");
  field.className = "visually-hidden";
  field.value = text;
  beside.after(field); // not in the body: a dialog lets nothing outside of it be selected
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  beside.focus({ preventScroll: true });
  return isCopied;
}

function tell(text) {
  const line = document.querySelector("#announcement") ?? document.querySelector("#copied");
  line.textContent = text;
}

function tick(button, title) {
  const icon = button.querySelector("use");
  if (!icon || "ticked" in button.dataset) return;
  const [former, formerTitle] = [icon.getAttribute("href"), button.title];
  button.dataset.ticked = "";
  icon.setAttribute("href", former.replace(/#.*/, "#check"));
  button.title = title;
  setTimeout(() => {
    delete button.dataset.ticked;
    icon.setAttribute("href", former);
    button.title = formerTitle;
  }, SHOWN_MS);
}
