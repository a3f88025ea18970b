// While the model writes, the dialogue is fetched again and again; then the person can go on.

const EVERY_MS = 700;
const say = document.querySelector("#say");
const lost = document.querySelector("#no-connection");

const isUnfinished = () => document.querySelector("#turns [data-unfinished]") !== null;

async function look() {
  const turns = document.querySelector("#turns");
  const response = await fetch(turns.dataset.turnsUrl, { headers: { Accept: "text/html" } }).catch(() => null);
  if (response?.status === 409) return location.reload();
  lost.hidden = Boolean(response?.ok);
  if (response?.ok) {
    const body = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = body.querySelector("#turns");
    if (next && !turns.isEqualNode(next)) turns.replaceWith(document.importNode(next, true));
  }
  if (isUnfinished()) setTimeout(look, EVERY_MS);
  else finish();
}

function finish() {
  say.querySelector("button").disabled = false;
  say.removeAttribute("data-waits");
}

if (isUnfinished()) setTimeout(look, EVERY_MS);

say.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches("textarea")) return;
  event.preventDefault();
  if (!say.querySelector("button").disabled) say.requestSubmit();
});
