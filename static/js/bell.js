// The bell's number of unread notices follows what happens: other tabs say what they show, the websocket of a chat says
// when it changed, and where there is none the page looks every minute. A page that nobody sees asks nothing.

const LOOK_EVERY_MS = 60_000;

const bell = document.querySelector(".bell");
const tabs = new BroadcastChannel("notices");
let isTold = false;

/** A websocket says from now on what changed, or it is away. */
export function toldBySocket(now) {
  isTold = now;
}

/** The number elsewhere: looks where this page shows another one. */
export function hear(count) {
  if (bell && count !== shown()) look();
}

const shown = () => Number(bell.querySelector("[data-count]").dataset.count);

async function look() {
  if (document.hidden) return; // it looks once it is seen
  try {
    const answer = await fetch(bell.dataset.countUrl, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const before = shown();
    bell.innerHTML = await answer.text();
    if (shown() !== before) tabs.postMessage(shown());
  } catch (error) {
    console.warn(error);
  }
}

if (bell) {
  tabs.addEventListener("message", (event) => hear(event.data));
  tabs.postMessage(shown());
  document.addEventListener("visibilitychange", look);
  setInterval(() => isTold || look(), LOOK_EVERY_MS);
}
