"""Queries on two real-looking shops, their lineage worked out by hand.

`total = aggregate(payment.amount)` is a column, its transformation and its sources; a table of the
schema that is looked in first goes without it.
"""

import pytest

from lineage.query import columns_of
from lineage.tests.shops import PAGILA, SAKILA, described

SHOPS = {"postgres": (described(PAGILA), "public"), "mysql": (described(SAKILA), "sakila")}


def told(query, dialect):
    tables, own = SHOPS[dialect]
    found = columns_of(query, dialect, tables, search_path=[own])
    return [
        f"{column.name} = {column.transformation}({', '.join(_listed(column.sources, own))})"
        for column in found
    ]


def _listed(sources, own):
    for one in sources:
        yield ".".join([*([] if one.schema == own else [one.schema or "?"]), one.table, one.column])


POSTGRES = [
    # Joins
    ("SELECT c.customer_id, c.first_name || ' ' || c.last_name AS name, a.phone, ci.city, "
     "co.country "
     "FROM customer c JOIN address a ON a.address_id = c.address_id JOIN city ci ON ci.city_id = "
     "a.city_id JOIN country co ON co.country_id = ci.country_id",
     ["customer_id = identity(customer.customer_id)",
      "name = expression(customer.first_name, customer.last_name)",
      "phone = identity(address.phone)", "city = identity(city.city)",
      "country = identity(country.country)"]),
    ("SELECT * FROM city JOIN country USING (country_id)",
     ["country_id = identity(city.country_id)", "city_id = identity(city.city_id)",
      "city = identity(city.city)", "last_update = identity(city.last_update)",
      "country = identity(country.country)", "last_update = identity(country.last_update)"]),
    ("SELECT * FROM city NATURAL JOIN country",
     ["country_id = identity(city.country_id)", "last_update = identity(city.last_update)",
      "city_id = identity(city.city_id)", "city = identity(city.city)",
      "country = identity(country.country)"]),
    ("SELECT film_id, title, name FROM film JOIN film_category USING (film_id) "
     "JOIN category USING (category_id)",
     ["film_id = identity(film.film_id)", "title = identity(film.title)",
      "name = identity(category.name)"]),
    ("SELECT store_id, manager_staff_id FROM store FULL JOIN staff USING (store_id) "
     "FULL JOIN customer USING (store_id)",
     ["store_id = expression(customer.store_id, staff.store_id, store.store_id)",
      "manager_staff_id = identity(store.manager_staff_id)"]),
    ("SELECT address_id, s.address_id AS own FROM address RIGHT JOIN staff s USING (address_id)",
     ["address_id = identity(staff.address_id)", "own = identity(staff.address_id)"]),
    ("SELECT j.title, j.name FROM (film JOIN language USING (language_id)) AS j",
     ["title = identity(film.title)", "name = identity(language.name)"]),
    ("SELECT l.name, o.name AS original FROM film f JOIN language l USING (language_id) "
     "LEFT JOIN language o ON o.language_id = f.original_language_id",
     ["name = identity(language.name)", "original = identity(language.name)"]),
    ("SELECT e.name, b.name AS boss, bb.name AS over FROM employee e LEFT JOIN employee b "
     "ON b.employee_id = e.boss_id LEFT JOIN employee bb ON bb.employee_id = b.boss_id",
     ["name = identity(employee.name)", "boss = identity(employee.name)",
      "over = identity(employee.name)"]),
    # Lateral
    ("SELECT c.email, l.amount FROM customer c LEFT JOIN LATERAL (SELECT p.amount FROM payment p "
     "WHERE p.customer_id = c.customer_id ORDER BY p.payment_date DESC LIMIT 1) l ON true",
     ["email = identity(customer.email)", "amount = identity(payment.amount)"]),
    ("SELECT f.title, s.v, s.n FROM film f CROSS JOIN LATERAL unnest(f.special_features) "
     "WITH ORDINALITY AS s(v, n)",
     ["title = identity(film.title)", "v = expression(film.special_features)",
      "n = expression(film.special_features)"]),
    ("SELECT s.v, s.w, s.n FROM film f, unnest(f.special_features, ARRAY[f.rating]) WITH "
     "ORDINALITY "
     "AS s(v, w, n)",
     ["v = expression(film.special_features)", "w = expression(film.rating)",
      "n = expression(film.rating, film.special_features)"]),
    ("SELECT e.event_id, x.a, x.b FROM event_log e, jsonb_to_recordset(e.payload) AS x(a int, b "
     "text)",
     ["event_id = identity(event_log.event_id)", "a = expression(event_log.payload)",
      "b = expression(event_log.payload)"]),
    ("SELECT b.store_id, q.quarter, q.money FROM budget b CROSS JOIN LATERAL "
     "(VALUES ('q1', b.q1), ('q2', b.q2), ('q3', b.q3), ('q4', b.q4)) AS q(quarter, money)",
     ["store_id = identity(budget.store_id)", "quarter = constant()",
      "money = identity(budget.q1, budget.q2, budget.q3, budget.q4)"]),
    # WITH
    ("WITH spent AS (SELECT customer_id, sum(amount) AS total FROM payment GROUP BY customer_id), "
     "best AS MATERIALIZED (SELECT * FROM spent ORDER BY total DESC LIMIT 10) "
     "SELECT c.email, b.total, b.total / 100 AS share FROM best b JOIN customer c USING "
     "(customer_id)",
     ["email = identity(customer.email)", "total = aggregate(payment.amount)",
      "share = aggregate(payment.amount)"]),
    ("WITH customer AS (SELECT staff_id AS customer_id, email FROM staff) SELECT * FROM customer",
     ["customer_id = identity(staff.staff_id)", "email = identity(staff.email)"]),
    ("WITH RECURSIVE tree(id, path, depth, top) AS (SELECT employee_id, name::text, 0, name FROM "
     "employee WHERE boss_id IS NULL UNION ALL SELECT e.employee_id, t.path || '/' || e.name, "
     "t.depth + 1, t.top FROM employee e JOIN tree t ON t.id = e.boss_id) SELECT * FROM tree",
     ["id = identity(employee.employee_id)", "path = expression(employee.name)",
      "depth = expression()", "top = identity(employee.name)"]),
    ("WITH RECURSIVE pay AS (SELECT employee_id, salary AS money FROM employee UNION "
     "SELECT e.boss_id, p.money + e.salary FROM pay p JOIN employee e USING (employee_id)) "
     "SELECT employee_id, max(money) AS most FROM pay GROUP BY 1",
     ["employee_id = identity(employee.boss_id, employee.employee_id)",
      "most = aggregate(employee.salary)"]),
    ("WITH a AS (SELECT title FROM film) SELECT x.title FROM (WITH a AS (SELECT name AS title "
     "FROM category) SELECT title FROM a) x UNION ALL SELECT title FROM a",
     ["title = identity(category.name, film.title)"]),
    ("WITH t(a, b) AS (VALUES (1, 'x'), (2, 'y')) SELECT t.b, f.title FROM t JOIN film f "
     "ON f.film_id = t.a",
     ["b = constant()", "title = identity(film.title)"]),
    ("WITH t AS (SELECT name FROM language) TABLE t", ["name = identity(language.name)"]),
    # Sub-selects
    ("SELECT f.title, (SELECT count(*) FROM inventory i WHERE i.film_id = f.film_id) AS copies, "
     "coalesce((SELECT max(p.amount) FROM payment p), f.rental_rate) AS price FROM film f",
     ["title = identity(film.title)", "copies = aggregate()",
      "price = aggregate(film.rental_rate, payment.amount)"]),
    ("SELECT ARRAY(SELECT f.title FROM film f WHERE f.language_id = l.language_id) AS titles "
     "FROM language l",
     ["titles = expression(film.title)"]),
    ("SELECT o.n, o.store_id + 1 AS next FROM (SELECT i.* FROM (SELECT store_id, count(*) AS n "
     "FROM inventory GROUP BY store_id) i) o",
     ["n = aggregate()", "next = expression(inventory.store_id)"]),
    ("SELECT (SELECT (SELECT f.title FROM inventory i WHERE i.film_id = f.film_id LIMIT 1)) AS t "
     "FROM film f",
     ["t = identity(film.title)"]),
    ("SELECT amount > ALL (SELECT rental_rate FROM film) AS over, amount IN (1, 2) AS small "
     "FROM payment",
     ["over = expression(film.rental_rate, payment.amount)", "small = expression(payment.amount)"]),
    # Sets
    ("SELECT first_name AS who, 'actor' AS kind FROM actor UNION ALL SELECT first_name, 'staff' "
     "FROM staff UNION SELECT upper(email), NULL FROM customer",
     ["who = expression(actor.first_name, customer.email, staff.first_name)", "kind = constant()"]),
    ("SELECT film_id FROM inventory INTERSECT SELECT film_id FROM film_actor "
     "EXCEPT SELECT film_id FROM film_text",
     ["film_id = identity(inventory.film_id)"]),
    ("(SELECT title FROM film ORDER BY length LIMIT 1) UNION ALL (SELECT title FROM film_text) "
     "ORDER BY 1",
     ["title = identity(film.title, film_text.title)"]),
    # Windows and aggregates
    ("SELECT amount - lag(amount, 1, 0) OVER (PARTITION BY customer_id ORDER BY payment_date) "
     "AS step, "
     "first_value(payment_id) OVER w AS first, ntile(4) OVER w AS q FROM payment "
     "WINDOW w AS (ORDER BY amount ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
     ["step = window(payment.amount)", "first = window(payment.payment_id)", "q = window()"]),
    ("SELECT payment_date::date AS day, sum(sum(amount)) OVER (ORDER BY payment_date::date) AS "
     "running "
     "FROM payment GROUP BY 1",
     ["day = expression(payment.payment_date)", "running = window(payment.amount)"]),
    ("SELECT staff_id, sum(amount) FILTER (WHERE amount > 5) AS big, count(DISTINCT "
     "customer_id) AS "
     "people, avg(amount)::numeric(8,2) AS mean FROM payment GROUP BY staff_id",
     ["staff_id = identity(payment.staff_id)", "big = aggregate(payment.amount)",
      "people = aggregate(payment.customer_id)", "mean = aggregate(payment.amount)"]),
    ("SELECT rating, string_agg(DISTINCT title, ', ' ORDER BY title) AS titles, "
     "mode() WITHIN GROUP (ORDER BY length) AS usual FROM film GROUP BY ROLLUP (rating)",
     ["rating = identity(film.rating)", "titles = aggregate(film.title)",
      "usual = aggregate(film.length)"]),
    ("SELECT jsonb_object_agg(kind, payload) AS o, array_agg(event_id ORDER BY at) AS ids, "
     "bool_and(at > now()) AS later FROM event_log",
     ["o = aggregate(event_log.kind, event_log.payload)", "ids = aggregate(event_log.event_id)",
      "later = aggregate(event_log.at)"]),
    # Expressions
    ("SELECT CASE WHEN length > 120 THEN title WHEN rating = 'G' THEN description ELSE 'short' END "
     "AS said, CASE rating WHEN 'G' THEN rental_rate ELSE rental_rate * 2 END AS price FROM film",
     ["said = expression(film.description, film.title)", "price = expression(film.rental_rate)"]),
    ("SELECT attributes ->> 'color', attributes #>> '{a,b}' AS deep, attributes ? 'x' AS has, "
     "attributes @> '{}' AS within FROM price_list",
     ["?column? = expression(price_list.attributes)", "deep = expression(price_list.attributes)",
      "has = expression(price_list.attributes)", "within = expression(price_list.attributes)"]),
    ("SELECT extract(year FROM payment_date) AS y, date_trunc('month', payment_date) AS m, "
     "payment_date AT TIME ZONE 'UTC' AS utc, payment_date + interval '1 day' AS next FROM payment",
     [f"{name} = expression(payment.payment_date)" for name in ("y", "m", "utc", "next")]),
    ("SELECT special_features[1] AS first, special_features[2:3] AS more, "
     "array_length(special_features, 1) AS n FROM film",
     [f"{name} = expression(film.special_features)" for name in ("first", "more", "n")]),
    ("SELECT greatest(q1, q2) AS top, q1 BETWEEN q2 AND q3 AS between, q1 IS NULL AS none, NOT "
     "(q4 > 0) "
     "AS no, -q1 AS less FROM budget",
     ["top = expression(budget.q1, budget.q2)",
      "between = expression(budget.q1, budget.q2, budget.q3)", "none = expression(budget.q1)",
      "no = expression(budget.q4)", "less = expression(budget.q1)"]),
    ("SELECT position('a' IN title) AS p, substring(title FROM 1 FOR 3) AS s, trim(both ' ' FROM "
     "title) AS t, title ILIKE '%a%' AS l, overlay(title placing 'x' from 1) AS o FROM film",
     [f"{name} = expression(film.title)" for name in ("p", "s", "t", "l", "o")]),
    ("SELECT (c).email, (c.*) IS NULL AS none FROM customer c",
     ["email = identity(customer.email)",
      "none = expression(customer.active, customer.address_id, customer.create_date, "
      "customer.customer_id, customer.email, customer.first_name, customer.last_name, "
      "customer.store_id)"]),
    ("SELECT to_jsonb(l) - 'name' AS j, row(l.name, 1) AS r FROM language l",
     ["j = expression(language.language_id, language.last_update, language.name)",
      "r = expression(language.name)"]),
    # Names
    ("SELECT length AS title, title AS length FROM film ORDER BY title LIMIT 3",
     ["title = identity(film.length)", "length = identity(film.title)"]),
    ("SELECT city FROM city", ["city = identity(city.city)"]),
    (f"SELECT {'n' * 70}.{'é' * 40} FROM (SELECT city AS {'é' * 40} FROM city) {'n' * 70}",
     [f"{'é' * 31} = identity(city.city)"]),
    ("SELECT city.city, c.city AS other FROM city, city AS c",
     ["city = identity(city.city)", "other = identity(city.city)"]),
    ('SELECT "Film Notes"."Note Text" AS "Note", NOTE_ID FROM "Film Notes"',
     ["Note = identity(Film Notes.Note Text)", "note_id = identity(Film Notes.note_id)"]),
    ('SELECT o."Select", "From" FROM "Order" o',
     ["Select = identity(Order.Select)", "From = identity(Order.From)"]),
    ("SELECT FILM.TITLE, Film.Film_Id AS ID FROM Public.FILM",
     ["title = identity(film.title)", "id = identity(film.film_id)"]),
    ("SELECT p.amount, a.amount AS old, archive.payment.paid_on FROM public.payment p "
     "JOIN archive.payment a USING (payment_id), archive.payment",
     ["amount = identity(payment.amount)", "old = identity(archive.payment.amount)",
      "paid_on = identity(archive.payment.paid_on)"]),
    ("SELECT name, country FROM customer_list WHERE id > 1",
     ["name = identity(customer_list.name)", "country = identity(customer_list.country)"]),
    ("SELECT fl.title, x.price FROM film_list fl JOIN LATERAL (SELECT fl.price + 1 AS price) x "
     "ON true",
     ["title = identity(film_list.title)", "price = expression(film_list.price)"]),
    ("SELECT a, b FROM (SELECT film_id, title FROM film) AS t(a, b), ONLY payment p",
     ["a = identity(film.film_id)", "b = identity(film.title)"]),
    ("SELECT title FROM film TABLESAMPLE SYSTEM (10) ORDER BY length FETCH FIRST 2 ROWS ONLY",
     ["title = identity(film.title)"]),
    ("SELECT d::date AS day, count(p.*) AS n FROM generate_series('2024-01-01'::date, "
     "'2024-01-31', interval '1 day') d LEFT JOIN payment p ON p.payment_date::date = d GROUP BY d",
     ["day = constant()",
      "n = aggregate(payment.amount, payment.customer_id, payment.payment_date, "
      "payment.payment_id, payment.rental_id, payment.staff_id)"]),
    ("SELECT DISTINCT ON (customer_id) customer_id, amount FROM payment ORDER BY customer_id, "
     "amount",
     ["customer_id = identity(payment.customer_id)", "amount = identity(payment.amount)"]),
]  # fmt: skip

MYSQL = [
    ("SELECT C.Customer_ID, CONCAT_WS(' ', c.first_name, c.last_name) AS `Full Name`, Ci.CITY "
     "FROM Customer AS c JOIN address a ON a.address_id = c.address_id JOIN city ci USING "
     "(city_id)",
     ["customer_id = identity(customer.customer_id)",
      "full name = expression(customer.first_name, customer.last_name)",
      "city = identity(city.city)"]),
    ("SELECT `Note Text`, `Film Notes`.NOTE_ID FROM `Film Notes`",
     ["note text = identity(Film Notes.Note Text)", "note_id = identity(Film Notes.note_id)"]),
    ("SELECT IF(active = 1, email, 'none') AS mail, IFNULL(email, first_name) AS called, "
     "NULLIF(email, '') AS filled, active <=> 1 AS same FROM customer",
     ["mail = expression(customer.email)",
      "called = expression(customer.email, customer.first_name)",
      "filled = expression(customer.email)", "same = expression(customer.active)"]),
    ("SELECT rating, GROUP_CONCAT(DISTINCT title ORDER BY length DESC SEPARATOR '; ') AS titles, "
     "COUNT(DISTINCT length, rental_rate) AS n FROM film GROUP BY rating WITH ROLLUP",
     ["rating = identity(film.rating)", "titles = aggregate(film.title)",
      "n = aggregate(film.length, film.rental_rate)"]),
    ("SELECT s.amount, archive.payment.amount AS old FROM sakila.payment s STRAIGHT_JOIN "
     "archive.payment ON archive.payment.payment_id = s.payment_id",
     ["amount = identity(payment.amount)", "old = identity(archive.payment.amount)"]),
    ("SELECT * FROM city NATURAL LEFT JOIN country",
     ["country_id = identity(city.country_id)", "last_update = identity(city.last_update)",
      "city_id = identity(city.city_id)", "city = identity(city.city)",
      "country = identity(country.country)"]),
    ("SELECT country_id, city FROM city RIGHT JOIN country USING (country_id)",
     ["country_id = identity(country.country_id)", "city = identity(city.city)"]),
    ("WITH RECURSIVE tree AS (SELECT employee_id, CAST(name AS CHAR(200)) AS path FROM employee "
     "WHERE boss_id IS NULL UNION ALL SELECT e.employee_id, CONCAT(t.path, '/', e.name) "
     "FROM employee e JOIN tree t ON t.employee_id = e.boss_id) SELECT * FROM tree",
     ["employee_id = identity(employee.employee_id)", "path = expression(employee.name)"]),
    ("SELECT title, ROW_NUMBER() OVER (PARTITION BY rating ORDER BY length) AS n, "
     "SUM(rental_rate) OVER (ORDER BY film_id) AS running FROM film FORCE INDEX (PRIMARY)",
     ["title = identity(film.title)", "n = window()", "running = window(film.rental_rate)"]),
    ("SELECT DATE_FORMAT(payment_date, '%Y') AS y, payment_date + INTERVAL 1 DAY AS next, "
     "TIMESTAMPDIFF(DAY, payment_date, NOW()) AS age, YEAR(payment_date) AS year FROM payment",
     [f"{name} = expression(payment.payment_date)" for name in ("y", "next", "age", "year")]),
    ("SELECT JSON_VALUE(payload, '$.a') AS a, JSON_EXTRACT(payload, '$.b', '$.c') AS b, "
     "JSON_OBJECT('k', kind) AS o, JSON_ARRAYAGG(event_id) AS ids FROM event_log",
     ["a = expression(event_log.payload)", "b = expression(event_log.payload)",
      "o = expression(event_log.kind)", "ids = aggregate(event_log.event_id)"]),
    ("SELECT q1 DIV q2 AS whole, q1 MOD q2 AS rest, q1 XOR q2 AS x, q1 || q2 AS either, "
     "q1 & q2 AS bits, BINARY q3 AS raw, CONVERT(q4 USING utf8mb4) AS text FROM budget",
     [*[f"{name} = expression(budget.q1, budget.q2)" for name in
        ("whole", "rest", "x", "either", "bits")],
      "raw = expression(budget.q3)", "text = expression(budget.q4)"]),
    ("SELECT title, \"title\" AS word FROM film UNION SELECT name, name FROM category LIMIT 1, 2",
     ["title = identity(category.name, film.title)", "word = identity(category.name)"]),
    ("SELECT film_id FROM film EXCEPT SELECT film_id FROM inventory",
     ["film_id = identity(film.film_id)"]),
    ("SELECT t.n, t.store_id FROM (SELECT store_id, COUNT(*) AS n FROM inventory GROUP BY "
     "store_id) t "
     "HAVING n > 1",
     ["n = aggregate()", "store_id = identity(inventory.store_id)"]),
    ("SELECT f.title, j.a, j.n FROM film f JOIN JSON_TABLE(f.special_features, '$[*]' COLUMNS "
     "(n FOR ORDINALITY, a VARCHAR(20) PATH '$')) AS j",
     ["title = identity(film.title)", "a = expression(film.special_features)",
      "n = expression(film.special_features)"]),
    ("SELECT (SELECT l.name FROM language l WHERE l.language_id = f.language_id) AS spoken, "
     "EXISTS (SELECT 1 FROM inventory i WHERE i.film_id = f.film_id) AS here FROM film f",
     ["spoken = identity(language.name)", "here = expression()"]),
    ("SELECT o.`Select`, `From` FROM `order` o", ["select = identity(order.Select)",
                                                  "from = identity(order.From)"]),
    ("SELECT SQL_NO_CACHE HIGH_PRIORITY title AS t FROM film LOCK IN SHARE MODE",
     ["t = identity(film.title)"]),
    ("SELECT title REGEXP '^A' AS a, title LIKE 'A%' ESCAPE '|' AS b, title COLLATE utf8mb4_bin "
     "AS c, "
     "LEFT(title, 3) AS d, SUBSTRING_INDEX(title, ' ', 1) AS e FROM film",
     [f"{name} = expression(film.title)" for name in "abcde"]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), POSTGRES)
def test_columns_of_a_shop_in_postgresql(query, expected):
    assert told(query, "postgres") == expected


@pytest.mark.parametrize(("query", "expected"), MYSQL)
def test_columns_of_a_shop_in_mariadb(query, expected):
    assert told(query, "mysql") == expected
