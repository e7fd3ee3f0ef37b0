import { $ } from "/static/ui.js";

async function enter(secret) {
  const answer = await fetch("/sign-in", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ secret }) });
  const data = await answer.json().catch(() => ({}));
  if (answer.ok) return location.replace(data.location);
  $("said").textContent = answer.status === 401 ? "This link or token is spent, expired or unknown. gfi open prints a new link." : data.detail || "That did not work.";
  $("said").hidden = false;
}

const secret = location.hash.slice(1);
if (secret) {
  history.replaceState(null, "", "/sign-in"); // out of the address bar and the history before anything else
  enter(secret);
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("secret").value.trim());
});
