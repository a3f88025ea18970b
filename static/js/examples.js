// Rows of examples are added and removed without a round trip. Without this script the buttons do it by the server.

const rows = document.querySelector("[data-rows]");
const add = document.querySelector("[data-add]");
const blank = document.querySelector("#example");

function count() {
  add.disabled = rows.children.length >= Number(add.dataset.most);
}

add.addEventListener("click", (event) => {
  event.preventDefault();
  const row = blank.content.firstElementChild.cloneNode(true);
  rows.append(row);
  row.querySelector("textarea").focus();
  count();
});

rows.addEventListener("click", (event) => {
  if (!event.target.closest("[data-remove]")) return;
  event.preventDefault();
  const row = event.target.closest("[data-row]");
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  (next?.querySelector("textarea") ?? add).focus();
  count();
});

count();
