// A line over the page that says what was done, with a button that takes it back.

const SHOWN_MS = 20_000;

export function toast(text, undo = null) {
  const line = document.querySelector("#toast");
  const button = line.querySelector("[data-undo]");
  line.querySelector("[data-said]").textContent = text;
  button.hidden = !undo;
  line.hidden = false;
  const hide = () => {
    line.hidden = true;
  };
  button.onclick = () => {
    hide();
    undo.act();
  };
  line.querySelector("[data-close]").onclick = hide;
  if (undo) button.focus();
  clearTimeout(toast.timer);
  toast.timer = setTimeout(function leave() {
    // Not under the hand of somebody who is about to press it.
    if (line.matches(":hover, :focus-within")) toast.timer = setTimeout(leave, SHOWN_MS);
    else hide();
  }, SHOWN_MS);
}
