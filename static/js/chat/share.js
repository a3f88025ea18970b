// The dialog of shared links: the server's own page of them, shown over the conversation.

import "./copy_link.js";
import { toast } from "./toast.js";

export function keepSharing(words) {
  const dialog = document.querySelector("#share");
  const place = dialog.querySelector("[data-share-place]");

  async function load(address, options = {}) {
    try {
      const answer = await fetch(`${address}?part`, { ...options, headers: { Accept: "text/html" } });
      const isPart = !answer.redirected && (answer.ok || answer.status === 409);
      if (!isPart) throw new Error(String(answer.status));
      place.innerHTML = await answer.text();
      if (!dialog.open) dialog.showModal();
      place.querySelector("[data-made] [data-copy-link]")?.focus();
    } catch (error) {
      console.warn(error);
      toast(words.notDone);
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-share]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    for (const menu of document.querySelectorAll(".menu[open]")) menu.open = false;
    load(link.getAttribute("href"));
  });
  place.addEventListener("submit", (event) => {
    event.preventDefault();
    load(event.target.getAttribute("action"), { method: "POST", body: new FormData(event.target) });
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
