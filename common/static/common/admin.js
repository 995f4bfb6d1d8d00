// A button with data-fragment posts its form there and shows the answer, a piece of HTML, in the page.
// Elements inside [data-rows] add, remove and move rows of a table of inputs.
// An element with data-poll is filled again from there each second, while its answer holds [data-live].
// A moment with data-local is shown on the clock of whoever looks.
"use strict";

(() => {
    const post = async (button) => {
        const target = document.getElementById(button.dataset.target);
        button.disabled = true;
        target.setAttribute("aria-busy", "true");
        target.textContent = "Working…";
        try {
            const answer = await fetch(button.dataset.fragment, {
                method: "POST",
                body: new FormData(button.closest("form")),
                headers: {"X-Requested-With": "XMLHttpRequest"},
                redirect: "error",
            });
            const text = await answer.text();
            if (answer.ok) {
                target.innerHTML = text;
            } else {
                target.textContent = `The service refused (${answer.status}); reload the page and try again.`;
            }
        } catch {
            target.textContent = "The service does not answer; try again in a moment.";
        } finally {
            button.disabled = false;
            target.removeAttribute("aria-busy");
        }
    };

    const changeRow = (button, table) => {
        const body = table.querySelector("tbody");
        const row = button.closest("tr");
        switch (button.dataset.row) {
        case "add": {
            const added = table.querySelector("template").content.firstElementChild.cloneNode(true);
            body.append(added);
            added.querySelector("input").focus();
            break;
        }
        case "remove":
            row.remove();
            break;
        case "up":
            row.previousElementSibling?.before(row);
            button.focus();
            break;
        case "down":
            row.nextElementSibling?.after(row);
            button.focus();
            break;
        }
    };

    const poll = async (element) => {
        try {
            const answer = await fetch(element.dataset.poll, {redirect: "error"});
            if (answer.ok) element.innerHTML = await answer.text();
        } catch {
            // The service may be back with the next look.
        }
        if (element.querySelector("[data-live]")) setTimeout(poll, 1000, element);
    };

    const clock = new Intl.DateTimeFormat("en-GB", {
        weekday: "short", day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit",
        timeZoneName: "short",
    });

    document.addEventListener("DOMContentLoaded", () => {
        for (const moment of document.querySelectorAll("time[data-local]")) {
            moment.textContent = clock.format(new Date(moment.dateTime)).replaceAll(",", "");
        }
    });

    document.addEventListener("DOMContentLoaded", () => {
        for (const element of document.querySelectorAll("[data-poll]")) setTimeout(poll, 1000, element);
    });

    document.addEventListener("click", (event) => {
        const button = event.target.closest("button[data-fragment], button[data-row]");
        if (!button) return;
        event.preventDefault();
        if (button.dataset.fragment) {
            post(button);
        } else {
            changeRow(button, button.closest("[data-rows]"));
        }
    });
})();
