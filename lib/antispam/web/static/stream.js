// Asks for the newest rows every few seconds, unless somebody is at work in them or has switched it off.
"use strict";
(() => {
  const rows = document.getElementById("rows"), live = document.getElementById("live"), seconds = 5;
  live.hidden = false;
  live.addEventListener("click", () => live.setAttribute("aria-pressed", live.getAttribute("aria-pressed") !== "true"));
  const ask = async () => {
    const busy = document.hidden || rows.contains(document.activeElement) || !getSelection().isCollapsed;
    if (!busy && live.getAttribute("aria-pressed") === "true") {
      try {
        const answer = await fetch(rows.dataset.rows, { redirect: "error" });
        if (answer.ok) rows.innerHTML = await answer.text();
      } catch { /* the console is away, or the login is over: the rows stay as they are */ }
    }
    setTimeout(ask, seconds * 1000);
  };
  setTimeout(ask, seconds * 1000);
})();
