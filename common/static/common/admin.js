// A button with data-fragment posts its form there and shows the answer, a piece of HTML, in the page.
// One with data-follows does so by itself, too, while one types into the inputs that it names.
// Elements inside [data-rows] add, remove and move rows of a table of inputs.
// An element with data-poll is filled again from there each second, while its answer holds [data-live].
// A moment with data-local is shown on the clock of whoever looks.
"use strict";

(() => {
    const turns = new WeakMap();

    const post = async (button, isQuiet = false) => {
        const target = document.getElementById(button.dataset.target);
        const turn = (turns.get(target) ?? 0) + 1;
        turns.set(target, turn);
        button.disabled = !isQuiet;
        target.setAttribute("aria-busy", "true");
        if (!isQuiet) target.textContent = "Working…";
        try {
            const answer = await fetch(button.dataset.fragment, {
                method: "POST",
                body: new FormData(button.closest("form")),
                headers: {"X-Requested-With": "XMLHttpRequest"},
                redirect: "error",
            });
            const text = await answer.text();
            // An answer to what was typed before comes too late.
            if (turns.get(target) !== turn) return;
            if (answer.ok) {
                target.innerHTML = text;
                if (!isQuiet) target.scrollIntoView({block: "nearest"});
            } else {
                target.textContent = `The service refused (${answer.status}); reload the page and try again.`;
            }
        } catch {
            target.textContent = "The service does not answer; try again in a moment.";
        } finally {
            button.disabled = false;
            if (turns.get(target) === turn) target.removeAttribute("aria-busy");
        }
    };

    const follow = (button) => {
        const names = button.dataset.follows.split(" ");
        let timer;
        button.closest("form").addEventListener("input", (event) => {
            if (!names.includes(event.target.name)) return;
            clearTimeout(timer);
            timer = setTimeout(post, 300, button, true);
        });
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
        document.querySelectorAll("button[data-follows]").forEach(follow);
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
