// The list of conversations: searched as one types, and made anew when a conversation is added.

const PAUSE_MS = 200;

export function keepList(chat) {
  const list = document.querySelector("#list");
  const search = document.querySelector("#search");
  let newest = 0;

  async function refresh(parameters = { q: search.value }) {
    const mine = ++newest;
    const query = new URLSearchParams({ open: chat.dataset.conversation, ...parameters });
    const answer = await fetch(`${chat.dataset.listUrl}?${query}`, { headers: { Accept: "text/html" } });
    if (answer.ok && !answer.redirected && mine === newest) list.innerHTML = await answer.text();
  }

  const tryRefresh = (parameters) => refresh(parameters).catch((error) => console.warn(error));
  let timer = 0;
  search.form.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(tryRefresh, PAUSE_MS);
  });
  list.addEventListener("click", (event) => {
    const more = event.target.closest("[data-more]");
    if (!more) return;
    event.preventDefault();
    tryRefresh(Object.fromEntries(new URL(more.href).searchParams));
  });
  return { refresh: () => tryRefresh() };
}
