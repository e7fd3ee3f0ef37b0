import { $ } from "/static/ui.js";

async function enter(secret) {
  const answer = await fetch("/sign-in", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ secret }) });
  const data = await answer.json().catch(() => ({}));
  if (answer.ok) return location.replace(data.location);
  $("refused").textContent = answer.status === 401 ? "This link or token has been used, has expired or is unknown. gfi open prints a new link." : data.detail || "Signing in failed.";
  $("refused").hidden = false;
}

// Signs in with the secret of a link, after the `#`. A link that is pasted into a tab that shows this page changes only
// that part of the address, so the page is not loaded again.
function follow() {
  const secret = location.hash.slice(1);
  if (!secret) return;
  history.replaceState(null, "", "/sign-in"); // first of all, remove the secret from the address bar and the history
  enter(secret);
}
addEventListener("hashchange", follow);
follow();
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("secret").value.trim());
});
