// Keeps the parts of a training page fresh while a run is under way: each [data-live] names where its part comes from.

const EVERY_MS = 2000;
const MOST_MS = 30000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// What the reader opened or scrolled stays so, whatever else changes.
function replace(part, html) {
  const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
  const log = part.querySelector(".log");
  const fromEnd = log ? log.scrollHeight - log.scrollTop - log.clientHeight : 0;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  for (const id of open) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  const freshLog = part.querySelector(".log");
  if (freshLog) freshLog.scrollTop = freshLog.scrollHeight - freshLog.clientHeight - fromEnd;
  if (focused) document.getElementById(focused)?.focus();
}

async function follow(part) {
  let pause = EVERY_MS;
  for (;;) {
    await sleep(pause);
    if (document.hidden) continue;
    try {
      const response = await fetch(part.dataset.live, { credentials: "same-origin", redirect: "error" });
      if (!response.ok) throw new Error(String(response.status));
      replace(part, await response.text());
      pause = EVERY_MS;
      // The run is over: buttons and notes outside of this part have to follow.
      if (response.headers.get("X-Live") !== "1") return location.reload();
    } catch {
      pause = Math.min(pause * 2, MOST_MS);
    }
  }
}

for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
for (const part of document.querySelectorAll("[data-live]")) {
  if (part.dataset.liveNow) follow(part);
}
