// Opens the conversation at the message that a search found.

const MARKED_MS = 4000;

export function lookAt(log, open) {
  const wanted = Number(new URLSearchParams(location.search).get("at"));
  if (!wanted) return;
  history.replaceState(null, "", location.pathname);
  if (show(log, wanted)) return;
  const look = () => show(log, wanted) && log.removeEventListener("path", look);
  log.addEventListener("path", look);
  open(wanted); // it stands on another path of the tree
}

function show(log, message) {
  const turn = log.querySelector(`[data-message="${message}"]`);
  if (!turn) return false;
  turn.scrollIntoView({ block: "center" });
  turn.classList.add("found");
  setTimeout(() => turn.classList.remove("found"), MARKED_MS);
  return true;
}
