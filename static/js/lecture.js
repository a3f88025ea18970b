// Fetches the parts of a lecture's page that are computed in another process: each [data-part] names its address.

async function fill(part) {
  try {
    const response = await fetch(part.dataset.part, { credentials: "same-origin", redirect: "error" });
    if (!response.ok) throw new Error(String(response.status));
    const html = await response.text();
    part.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  } catch {
    const waits = part.querySelector("[data-waits]");
    if (waits) waits.textContent = part.dataset.failed;
  }
}

for (const part of document.querySelectorAll("[data-part]")) fill(part);
