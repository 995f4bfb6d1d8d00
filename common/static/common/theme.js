// On every page: what the admin's theme lets one click by mouse alone is reached by keyboard, too, and has a name.
"use strict";

(() => {
    const ICON = ".material-symbols-outlined";
    const NAMES = {conversion_path: "Overview", dock_to_right: "Navigation", more_vert: "More", unfold_more: "More"};

    // An icon is drawn from a word, which is not to be read out: what shows nothing else is named after it.
    const name = (element) => {
        const icon = element.matches(ICON) ? element : element.querySelector(ICON);
        if (!icon || element.matches("[aria-label], [title]:not([title=''])")) return;
        const word = icon.textContent.trim();
        if (element.textContent.trim() !== word) return;
        element.setAttribute("aria-label", NAMES[word] ?? word.replaceAll("_", " "));
    };

    const reach = (element) => {
        if (element.matches("a[href], button, input, select, textarea, [tabindex], #changelist-filter-close")) return;
        if (element.querySelector("a[href], button")) return;
        element.tabIndex = 0;
        element.setAttribute("role", "button");
        name(element);
        element.addEventListener("keydown", (event) => {
            if (event.target !== element || !["Enter", " "].includes(event.key)) return;
            event.preventDefault();
            element.click();
        });
    };

    const mend = (part) => {
        part.querySelectorAll("[x-on\\:click], label:has(.delete)").forEach(reach);
        part.querySelectorAll("a[href], button").forEach(name);
        for (const icon of part.querySelectorAll(`${ICON}:not([role])`)) icon.setAttribute("aria-hidden", "true");
    };

    // A choice among records is a field of its own, which knows nothing of its label.
    const label = (select) => {
        const text = select.labels[0]?.textContent.trim().replace(/\s+/g, " ");
        const field = select.nextElementSibling?.querySelector("[role=combobox]");
        const shown = field?.querySelector("[role=textbox], [role=searchbox]");
        if (!text || !shown) return;
        shown.setAttribute("aria-label", `${text} ${shown.title}`.trim());
        field.setAttribute("aria-label", `${text} ${shown.title}`.trim());
        field.removeAttribute("aria-labelledby");
    };

    document.addEventListener("DOMContentLoaded", () => {
        document.getElementById("content")?.setAttribute("role", "main");
        mend(document);
    });
    window.addEventListener("load", () => {
        // After what makes these fields, and whenever another record was chosen.
        globalThis.django?.jQuery?.(() => {
            document.querySelectorAll("select.select2-hidden-accessible").forEach(label);
            django.jQuery(document).on("select2:select select2:clear", (event) => label(event.target));
        });
    });
    document.addEventListener("formset:added", (event) => mend(event.target));
})();
