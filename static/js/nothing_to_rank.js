// While nothing waits, look again every few seconds, but only while somebody looks at the page. What has changed is
// replaced in place, so that a screen reader says it and the keyboard's focus stays where it is.

const EVERY_MS = 4_000;

async function look() {
  const response = await fetch(location.href, {headers: {Accept: "text/html"}}).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const now = document.querySelector("[data-stock]");
  const next = page.querySelector("[data-stock]");
  if (!now || !next) location.reload();
  else if (!now.isEqualNode(next)) now.replaceChildren(...next.childNodes);
}

setInterval(() => {
  if (!document.hidden) look();
}, EVERY_MS);
