// The page of a mapping as a workbench: an editor for its query, the tables of its source, a picture to click together.
// Tables, and columns from the query, come from the API; what is drawn or run is a piece of the page that the service makes.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const bench = document.getElementById("etl-workbench");
    const form = bench?.closest("form");
    if (!form) return;
    const {api} = bench.dataset;
    const connection = form.elements.source_connection;
    const schema = form.elements.target_schema;
    const query = form.elements.source_query;

    const make = (tag, text = "", attributes = {}) => {
        const element = Object.assign(document.createElement(tag), {textContent: text});
        for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
        return element;
    };

    const later = (work, after = 300) => {
        let timer;
        return () => { clearTimeout(timer); timer = setTimeout(work, after); };
    };

    // Returns what the API answers; throws an Error that says why it refuses.
    const ask = async (path, {method = "GET", body, headers = {}} = {}) => {
        let answer;
        try {
            answer = await fetch(`${api}/${path}`, {
                method,
                redirect: "error",
                headers: {
                    "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
                    ...(body && {"Content-Type": "application/json"}),
                    ...headers,
                },
                body: body && JSON.stringify(body),
            });
        } catch {
            throw new Error("The service does not answer; try again in a moment.");
        }
        const said = await answer.json();
        if (!answer.ok) throw new Error(said.errors?.map((one) => one.message).join(" ") || said.detail);
        return {said, etag: answer.headers.get("ETag")};
    };

    const whenChosen = (select, work) => {
        // The choice among records tells of itself by jQuery alone.
        if (select?.tagName === "SELECT") django.jQuery(select).on("change", work);
    };

    // --- Tables --------------------------------------------------------------------------------------------------

    const tree = document.getElementById("etl-tree");
    const tables = new Map();
    let quote = '"';
    let turn = 0;
    let editor;

    const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : quote + name.replaceAll(quote, quote + quote) + quote);

    const insert = (text) => {
        if (editor) {
            editor.insert(text);
            editor.focus();
        } else if (query?.tagName === "TEXTAREA") {
            query.setRangeText(text, query.selectionStart, query.selectionEnd, "end");
            query.focus();
        }
    };

    const columnsOf = (table) => {
        const path = encodeURIComponent(`${table.schema}.${table.name}`);
        table.columns ??= ask(`connections/${connection.value}/tables/${path}`).then(({said}) => said);
        table.columns.catch(() => { table.columns = undefined; });
        return table.columns;
    };

    const unfold = async (button, list, table) => {
        const isOpen = button.getAttribute("aria-expanded") === "true";
        button.setAttribute("aria-expanded", String(!isOpen));
        list.hidden = isOpen;
        if (isOpen || list.childElementCount) return;
        try {
            for (const column of await columnsOf(table)) {
                const choice = make("button", "", {type: "button", title: `Insert ${column.name}`});
                choice.append(make("span", column.name), make("span", column.database_type, {class: "etl-quiet"}));
                choice.addEventListener("click", () => insert(quoted(column.name)));
                list.append(make("li"));
                list.lastChild.append(choice);
            }
        } catch (refusal) {
            list.append(make("li", refusal.message));
        }
    };

    const listed = (table) => {
        const item = make("li", "", {"data-table": `${table.schema}.${table.name}`.toLowerCase()});
        const button = make("button", "", {type: "button", "aria-expanded": "false", title: `${table.schema}.${table.name}, ${table.kind}`});
        const list = make("ul");
        list.hidden = true;
        button.append(make("span", table.name), make("span", table.schema, {class: "etl-quiet"}));
        button.addEventListener("click", () => unfold(button, list, table));
        item.append(button, list);
        return item;
    };

    const showTables = async () => {
        const status = tree.querySelector("[role=status]");
        const chosen = connection.value;
        const mine = turn += 1;
        tables.clear();
        tree.querySelector("ul").replaceChildren();
        tree.hidden = !chosen;
        if (!chosen) return;
        status.textContent = "Asking the source…";
        try {
            const [source, found] = await Promise.all([ask(`connections/${chosen}`), ask(`connections/${chosen}/tables`)]);
            if (mine !== turn) return;
            quote = source.said.db_type === "mysql" ? "`" : '"';
            for (const table of found.said) tables.set(`${table.schema}.${table.name}`, table);
            tree.querySelector("ul").append(...found.said.map(listed));
            status.textContent = found.said.length === 1 ? "1 table" : `${found.said.length} tables`;
        } catch (refusal) {
            if (mine === turn) status.textContent = refusal.message;
        }
    };

    if (tree && api && connection) {
        tree.querySelector("input").addEventListener("input", ({target}) => {
            for (const item of tree.querySelectorAll("[data-table]")) item.hidden = !item.dataset.table.includes(target.value.toLowerCase());
        });
        // Else it would send the form.
        tree.querySelector("input").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
        whenChosen(connection, showTables);
        showTables();
    }

    // --- The query -----------------------------------------------------------------------------------------------

    const show = document.getElementById("etl-show");
    const dryRun = document.getElementById("etl-dry-run");

    const completions = async (text) => {
        const named = [...tables.values()].filter(({name}) => text.toLowerCase().includes(name.toLowerCase())).slice(0, 10);
        const columns = await Promise.all(named.map((table) => columnsOf(table).catch(() => [])));
        return [
            ...[...tables.values()].map(({name, schema: of}) => ({value: quoted(name), caption: name, meta: of, score: 900})),
            ...columns.flatMap((found, index) => found.map(({name}) => ({value: quoted(name), caption: name, meta: named[index].name, score: 1000}))),
        ];
    };

    const edit = () => {
        const place = make("div", "", {class: "etl-editor"});
        query.after(place);
        editor = ace.edit(place, {
            mode: "ace/mode/sql",
            value: query.value,
            useWorker: false,
            showPrintMargin: false,
            minLines: 8,
            maxLines: 30,
            fontSize: 13,
            wrap: true,
            // Tab leaves it, Enter goes in: who has no mouse is not caught.
            enableKeyboardAccessibility: true,
            textInputAriaLabel: "Source query",
        });
        const tools = ace.require("ace/ext/language_tools");
        editor.setOptions({enableBasicAutocompletion: true, enableLiveAutocompletion: true});
        editor.completers = [
            {getCompletions: (_, session, at, prefix, done) => completions(session.getValue()).then((found) => done(null, found))},
            tools.keyWordCompleter,
        ];
        query.hidden = true;
        query.style.display = "none";
        editor.session.on("change", () => {
            query.value = editor.getValue();
            query.dispatchEvent(new Event("input", {bubbles: true}));
        });
        // Also while one is at the editor, and not in it: there it would take Enter for going in.
        place.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            event.stopPropagation();
            editor.completer?.detach();
            (event.shiftKey ? dryRun : show)?.click();
        }, {capture: true});
        const look = () => editor.setTheme(document.documentElement.classList.contains("dark") ? "ace/theme/tomorrow_night" : "ace/theme/sqlserver");
        new MutationObserver(look).observe(document.documentElement, {attributeFilter: ["class"]});
        look();
    };

    if (query?.tagName === "TEXTAREA" && globalThis.ace) edit();

    // --- The picture ---------------------------------------------------------------------------------------------

    const picture = document.getElementById("etl-picture");
    const rules = document.getElementById("column_mappings-group");
    const picked = {source: [], target: []};
    let columns = JSON.parse(document.getElementById("etl-columns")?.textContent || "[]") || [];
    const connect = picture?.querySelector("[data-connect]");
    const disconnect = picture?.querySelector("[data-disconnect]");
    const boxes = () => [...picture.querySelectorAll(".box")];
    const boxOf = (element) => element?.closest?.("#etl-picture .box");

    const kindOf = () => {
        const [from, to] = [picked.source.length, picked.target.length];
        if (from === 1 && to === 1) return "direct";
        if (from > 1 && to === 1) return "join";
        return from === 1 && to > 1 ? "split" : "";
    };

    const rowsPicked = () => [...new Set(boxes().filter((box) => box.getAttribute("aria-pressed") === "true").flatMap((box) => box.dataset.rows.split(" ").filter(Boolean)))];

    let made = "";

    const showPicked = () => {
        for (const box of boxes()) box.setAttribute("aria-pressed", String(picked[box.dataset.side].includes(box.dataset.name)));
        const kind = kindOf();
        connect.disabled = !kind;
        disconnect.disabled = !rowsPicked().length;
        const sides = `${picked.source.length} of the source, ${picked.target.length} of the target`;
        picture.querySelector("[role=status]").textContent = picked.source.length + picked.target.length ? `Chosen: ${sides}${kind && `; they make a ${kind} rule`}.` : made;
    };

    const pick = (box) => {
        const {side, name} = box.dataset;
        picked[side] = picked[side].includes(name) ? picked[side].filter((one) => one !== name) : [...picked[side], name];
        showPicked();
    };

    const isNarrow = matchMedia("(max-width: 640px)");

    const draw = async () => {
        const data = new FormData(form);
        if (isNarrow.matches) data.append("narrow", "1");
        for (const column of columns) data.append("columns", column);
        const focused = boxOf(document.activeElement)?.dataset;
        const answer = await fetch(picture.dataset.address, {method: "POST", body: data, redirect: "error"}).catch(() => null);
        if (!answer?.ok) return;
        picture.querySelector(".etl-picture").innerHTML = await answer.text();
        picture.hidden = false;
        picture.querySelector("svg").setAttribute("role", "group");
        for (const box of boxes()) {
            box.setAttribute("role", "button");
            box.setAttribute("tabindex", "0");
            box.setAttribute("aria-label", `${box.dataset.side === "source" ? "Source column" : "Target field"} ${box.querySelector("title").textContent}`);
            if (focused?.name === box.dataset.name && focused.side === box.dataset.side) box.focus();
        }
        for (const side of ["source", "target"]) picked[side] = picked[side].filter((name) => boxes().some((box) => box.dataset.side === side && box.dataset.name === name));
        showPicked();
    };

    const field = (row, name) => form.elements[`column_mappings-${row}-${name}`];
    const isFree = (row) => field(row, "source_columns") && !field(row, "source_columns").value && !field(row, "target_fields").value && !field(row, "DELETE")?.checked;

    const freeRow = () => {
        const count = () => Number(form.elements["column_mappings-TOTAL_FORMS"].value);
        for (let row = 0; row < count(); row += 1) if (isFree(row)) return row;
        rules.querySelector(".add-row a, a.add-row").click();
        return count() - 1;
    };

    const typed = (side) => picked[side].map((name) => boxes().find((box) => box.dataset.side === side && box.dataset.name === name).dataset.typed).join(", ");

    const makeRule = () => {
        const kind = kindOf();
        if (!kind) return;
        const row = freeRow();
        const values = {type: kind, source_columns: typed("source"), target_fields: typed("target"), option: kind === "direct" ? "" : "␣"};
        for (const [name, value] of Object.entries(values)) {
            field(row, name).value = value;
            field(row, name).dispatchEvent(new Event("change", {bubbles: true}));
        }
        made = `Made a ${kind} rule: ${values.source_columns} to ${values.target_fields}.`;
        const from = picked.source[0];
        picked.source = picked.target = [];
        if (kind !== "direct") field(row, "option").focus();
        drawAndStay("source", from);
    };

    // A button that is idle again loses the focus: it goes on from the box of a name.
    const drawAndStay = async (side, name) => {
        await draw();
        if ([document.body, connect, disconnect].includes(document.activeElement)) boxes().find((box) => box.dataset.side === side && box.dataset.name === name)?.focus();
    };

    const dropRules = () => {
        const [side, name] = picked.source.length ? ["source", picked.source[0]] : ["target", picked.target[0]];
        for (const row of rowsPicked()) {
            const mark = field(row, "DELETE");
            if (mark) mark.click();
            else for (const name of ["source_columns", "target_fields", "option"]) field(row, name).value = "";
        }
        made = "The rule is removed, once this is saved.";
        picked.source = picked.target = [];
        drawAndStay(side, name);
    };

    if (picture?.dataset.address && rules) {
        document.getElementById("etl-connect").hidden = false;
        connect.addEventListener("click", makeRule);
        disconnect.addEventListener("click", dropRules);
        let from;
        picture.addEventListener("pointerdown", (event) => { from = boxOf(event.target); });
        picture.addEventListener("pointerup", (event) => {
            const to = boxOf(document.elementFromPoint(event.clientX, event.clientY));
            if (!from || !to || from === to || from.dataset.side === to.dataset.side) return;
            picked[from.dataset.side] = [from.dataset.name];
            picked[to.dataset.side] = [to.dataset.name];
            makeRule();
        });
        picture.addEventListener("click", (event) => { if (boxOf(event.target)) pick(boxOf(event.target)); });
        picture.addEventListener("keydown", (event) => {
            if (!boxOf(event.target) || !["Enter", " "].includes(event.key)) return;
            event.preventDefault();
            pick(boxOf(event.target));
        });
        const redraw = later(draw);
        for (const kind of ["input", "change", "click"]) rules.addEventListener(kind, redraw);
        whenChosen(schema, draw);
        isNarrow.addEventListener("change", draw);
        draw();
    }

    const preview = document.getElementById("etl-preview");
    if (preview) {
        new MutationObserver(() => {
            const heads = [...preview.querySelectorAll("[data-column]")].map((head) => head.dataset.column);
            if (!heads.length) return;
            columns = heads;
            if (picture?.dataset.address && rules) draw();
        }).observe(preview, {childList: true});
    }

    // --- Problems, beside the rule that causes them ----------------------------------------------------------------

    const tellRules = (part, attribute, listOf) => {
        const told = new Map();
        for (const one of part.querySelectorAll(`[${attribute}]`)) {
            const list = listOf(one.getAttribute(attribute));
            if (list) told.set(list, [...(told.get(list) ?? []), one.textContent]);
        }
        for (const list of document.querySelectorAll(".etl-problems")) list.replaceChildren(...(told.get(list) ?? []).map((text) => make("li", text)));
    };
    const watch = (id, attribute, listOf) => {
        const part = document.getElementById(id);
        if (part) new MutationObserver(() => { if (!part.hasAttribute("aria-busy")) tellRules(part, attribute, listOf); }).observe(part, {childList: true, attributeFilter: ["aria-busy"]});
    };
    const listOfRule = (rule) => document.querySelector(`.etl-problems[data-rule="${CSS.escape(rule)}"]`);
    watch("etl-target-rows", "data-problem-of-row", (row) => field(row, "type")?.closest("tr").querySelector(".etl-problems") ?? listOfRule(row));
    watch("etl-problems", "data-problem-of", listOfRule);

    // --- Columns from the query --------------------------------------------------------------------------------------

    const proposal = document.getElementById("etl-proposal");

    const choose = (said) => {
        const option = new Option(said.name, said.id, true, true);
        schema.append(option);
        django.jQuery(schema).trigger("change");
    };

    const propose = async () => {
        proposal.textContent = "Asking the source…";
        try {
            const {said} = await ask("schemas/from-query", {method: "POST", body: {source_connection_id: connection.value, source_query: query.value}});
            const stored = schema.value ? await ask(`schemas/${schema.value}`) : null;
            const known = new Set(stored?.said.columns.map(({name}) => name.toLowerCase()));
            const missing = said.columns.filter(({name}) => !known.has(name.toLowerCase()));
            columns = said.columns.map(({name}) => name);
            if (picture?.dataset.address && rules) draw();
            offer(stored, missing);
        } catch (refusal) {
            proposal.textContent = refusal.message;
        }
    };

    const offer = (stored, missing) => {
        const words = missing.map(({name, data_type}) => `${name} (${data_type})`).join(", ");
        if (!missing.length) {
            proposal.textContent = `The schema "${stored.said.name}" has all of the query's columns.`;
            return;
        }
        const button = make("button", stored ? `Add them to "${stored.said.name}"` : "Make the schema", {type: "button", class: "etl-button"});
        const name = make("input", "", {type: "text", class: "etl-input", "aria-label": "Name of the schema", maxlength: "100"});
        name.value = form.elements.name?.value ?? "";
        proposal.replaceChildren(make("p", stored ? `The schema lacks: ${words}.` : `The query has: ${words}.`), ...(stored ? [] : [name]), button);
        button.addEventListener("click", async () => {
            button.disabled = true;
            try {
                const kept = stored
                    ? await ask(`schemas/${stored.said.id}`, {method: "PUT", headers: {"If-Match": stored.etag}, body: {columns: [...stored.said.columns, ...missing]}})
                    : await ask("schemas", {method: "POST", body: {name: name.value, columns: missing}});
                proposal.textContent = `The schema "${kept.said.name}" has ${kept.said.columns.length} columns now.`;
                // The button that was pressed is gone.
                document.getElementById("etl-from-query").focus();
                if (stored) draw();
                else choose(kept.said);
            } catch (refusal) {
                proposal.textContent = refusal.message;
            }
        });
    };

    if (proposal && api && bench.hasAttribute("data-may-write-schemas")) {
        document.getElementById("etl-schema").hidden = false;
        document.getElementById("etl-from-query").addEventListener("click", propose);
    }
});
