"""Queries on a shop that lends films, their lineage worked out by hand.

`total = aggregate(payment.amount)` is a column, its transformation and its sources; a table of the
schema `public` goes without it, `?` is a schema that is not known.
"""

import pytest

from lineage.flows import Source
from lineage.query import Column, UnreadableQuery, columns_of
from lineage.walk import Walk

SHOP = {
    "actor": "actor_id first_name last_name last_update",
    "film": "film_id title description release_year language_id length rental_rate rating",
    "language": "language_id name",
    "film_actor": "actor_id film_id",
    "category": "category_id name",
    "film_category": "film_id category_id",
    "inventory": "inventory_id film_id store_id",
    "rental": "rental_id rental_date inventory_id customer_id return_date staff_id",
    "payment": "payment_id customer_id staff_id rental_id amount payment_date",
    "customer": "customer_id store_id first_name last_name email address_id active",
    "staff": "staff_id first_name last_name manager_id",
    "address": "address_id address district city_id phone",
}
TABLES = {
    "public": {name: columns.split() for name, columns in SHOP.items()},
    "archive": {"payment": ["payment_id", "amount"]},
}


def told(query, dialect="postgres", **options):
    columns = columns_of(query, dialect, TABLES, search_path=["public"], **options)
    return [shown(column) for column in columns]


def shown(column):
    text = f"{column.name} = {column.transformation}({listed(column.sources)})"
    return f"{text} by {listed(column.indirect)}" if column.indirect else text


def listed(sources):
    return ", ".join(
        f"{source.table}.{source.column}"
        if source.schema == "public"
        else f"{source.schema or '?'}.{source.table}.{source.column}"
        for source in sources
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Columns as they are
        ("SELECT title FROM film", ["title = identity(film.title)"]),
        ("SELECT f.title AS name FROM film f", ["name = identity(film.title)"]),
        ("SELECT public.film.title FROM public.film", ["title = identity(film.title)"]),
        ('SELECT "title" AS "Name" FROM FILM', ["Name = identity(film.title)"]),
        ("SELECT (title) FROM film", ["title = identity(film.title)"]),
        ("SELECT amount FROM archive.payment", ["amount = identity(archive.payment.amount)"]),
        ("SELECT * FROM language",
         ["language_id = identity(language.language_id)", "name = identity(language.name)"]),
        ("TABLE category",
         ["category_id = identity(category.category_id)", "name = identity(category.name)"]),
        ("SELECT c.*, 1 AS one FROM film_category c",
         ["film_id = identity(film_category.film_id)",
          "category_id = identity(film_category.category_id)", "one = constant()"]),
        ("SELECT x.b FROM language AS x(a, b)", ["b = identity(language.name)"]),
        # Expressions
        ("SELECT first_name || ' ' || last_name AS name FROM actor",
         ["name = expression(actor.first_name, actor.last_name)"]),
        ("SELECT length::text FROM film", ["length = expression(film.length)"]),
        ("SELECT upper(title), -length AS less FROM film",
         ["upper = expression(film.title)", "less = expression(film.length)"]),
        ("SELECT coalesce(email, first_name) AS called FROM customer",
         ["called = expression(customer.email, customer.first_name)"]),
        ("SELECT CASE WHEN active = 1 THEN email ELSE 'none' END AS mail FROM customer",
         ["mail = expression(customer.email)"]),
        ("SELECT CASE rating WHEN 'G' THEN 1 ELSE 2 END AS age FROM film", ["age = expression()"]),
        ("SELECT nullif(rental_rate, length) AS rate FROM film",
         ["rate = expression(film.rental_rate)"]),
        ("SELECT now() AS at, 'x' AS x, NULL AS nothing, 1 + 1 AS two",
         ["at = constant()", "x = constant()", "nothing = constant()", "two = constant()"]),
        ("SELECT my_own(title, 3) AS mine FROM film", ["mine = expression(film.title)"]),
        ("SELECT current_user, current_date AS day, title FROM film",
         ["current_user = constant()", "day = constant()", "title = identity(film.title)"]),
        ("SELECT l AS whole FROM language l",
         ["whole = expression(language.language_id, language.name)"]),
        ("SELECT row_to_json(l) AS j FROM language l",
         ["j = expression(language.language_id, language.name)"]),
        ("SELECT ARRAY[film_id, length], (l.*)::text AS row FROM film, language l",
         ["array = expression(film.film_id, film.length)",
          "row = expression(language.language_id, language.name)"]),
        ("SELECT (description).part FROM film", ["part = expression(film.description)"]),
        # Aggregates and windows
        ("SELECT count(*) FROM film", ["count = aggregate()"]),
        ("SELECT customer_id, sum(amount) AS total FROM payment GROUP BY customer_id",
         ["customer_id = identity(payment.customer_id)", "total = aggregate(payment.amount)"]),
        ("SELECT sum(amount) * 2 AS twice FROM payment", ["twice = aggregate(payment.amount)"]),
        ("SELECT count(*) FILTER (WHERE amount > 1) AS n FROM payment", ["n = aggregate()"]),
        ("SELECT string_agg(title, ', ' ORDER BY length) AS titles FROM film",
         ["titles = aggregate(film.title)"]),
        ("SELECT jsonb_agg(title) AS titles FROM film", ["titles = aggregate(film.title)"]),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS median FROM payment",
         ["median = aggregate(payment.amount)"]),
        ("SELECT row_number() OVER (PARTITION BY rating ORDER BY length) AS place FROM film",
         ["place = window()"]),
        ("SELECT lag(amount) OVER w AS last FROM payment WINDOW w AS (ORDER BY payment_date)",
         ["last = window(payment.amount)"]),
        ("SELECT sum(sum(amount)) OVER () AS all_of_it FROM payment GROUP BY staff_id",
         ["all_of_it = window(payment.amount)"]),
        # Joins
        ("SELECT f.title, l.name FROM film f JOIN language l ON l.language_id = f.language_id",
         ["title = identity(film.title)", "name = identity(language.name)"]),
        ("SELECT title, name FROM film, language",
         ["title = identity(film.title)", "name = identity(language.name)"]),
        ("SELECT language_id FROM film JOIN language USING (language_id)",
         ["language_id = identity(film.language_id)"]),
        ("SELECT language_id FROM film RIGHT JOIN language USING (language_id)",
         ["language_id = identity(language.language_id)"]),
        ("SELECT language_id FROM film FULL JOIN language USING (language_id)",
         ["language_id = expression(film.language_id, language.language_id)"]),
        ("SELECT * FROM film_category JOIN category USING (category_id)",
         ["category_id = identity(film_category.category_id)",
          "film_id = identity(film_category.film_id)", "name = identity(category.name)"]),
        ("SELECT * FROM film_category NATURAL JOIN category",
         ["category_id = identity(film_category.category_id)",
          "film_id = identity(film_category.film_id)", "name = identity(category.name)"]),
        ("SELECT film_id, name FROM (film_category fc JOIN category c USING (category_id))",
         ["film_id = identity(film_category.film_id)", "name = identity(category.name)"]),
        ("SELECT s.first_name, m.first_name AS boss FROM staff s LEFT JOIN staff m "
         "ON m.staff_id = s.manager_id",
         ["first_name = identity(staff.first_name)", "boss = identity(staff.first_name)"]),
        # Sub-selects
        ("SELECT t.total FROM (SELECT sum(amount) AS total FROM payment) t",
         ["total = aggregate(payment.amount)"]),
        ("SELECT count + 1 AS n FROM (SELECT count(*) FROM film) t", ["n = aggregate()"]),
        ("SELECT * FROM (SELECT film_id, title FROM film) AS t(id)",
         ["id = identity(film.film_id)", "title = identity(film.title)"]),
        ("SELECT title, (SELECT name FROM language l WHERE l.language_id = f.language_id) "
         "AS spoken FROM film f",
         ["title = identity(film.title)", "spoken = identity(language.name)"]),
        ("SELECT (SELECT max(amount) FROM payment p WHERE p.customer_id = c.customer_id) AS most "
         "FROM customer c",
         ["most = aggregate(payment.amount)"]),
        ("SELECT (SELECT email) AS mail FROM customer", ["mail = identity(customer.email)"]),
        ("SELECT EXISTS (SELECT 1 FROM rental r WHERE r.customer_id = c.customer_id) AS has "
         "FROM customer c",
         ["has = expression()"]),
        ("SELECT film_id IN (SELECT film_id FROM inventory) AS here FROM film",
         ["here = expression(film.film_id, inventory.film_id)"]),
        ("SELECT title FROM film WHERE film_id IN (SELECT film_id FROM inventory)",
         ["title = identity(film.title)"]),
        ("SELECT c.email, p.amount FROM customer c, LATERAL "
         "(SELECT amount FROM payment WHERE customer_id = c.customer_id LIMIT 1) p",
         ["email = identity(customer.email)", "amount = identity(payment.amount)"]),
        ("SELECT c.first_name, x.up FROM customer c CROSS JOIN LATERAL "
         "(SELECT upper(c.email) AS up) x",
         ["first_name = identity(customer.first_name)", "up = expression(customer.email)"]),
        ("SELECT title, word FROM film, unnest(string_to_array(title, ' ')) AS word",
         ["title = identity(film.title)", "word = expression(film.title)"]),
        ("SELECT n, v.b FROM generate_series(1, 3) AS n, (VALUES (1, 'x')) AS v(a, b)",
         ["n = constant()", "b = constant()"]),
        ("VALUES (1, 'x')", ["column1 = constant()", "column2 = constant()"]),
        # WITH
        ("WITH t AS (SELECT customer_id, sum(amount) AS total FROM payment GROUP BY 1) "
         "SELECT c.email, t.total / 2 AS half FROM customer c JOIN t USING (customer_id)",
         ["email = identity(customer.email)", "half = aggregate(payment.amount)"]),
        ("WITH a AS (SELECT * FROM language), b(x, y) AS (SELECT * FROM a) SELECT y, x FROM b",
         ["y = identity(language.name)", "x = identity(language.language_id)"]),
        ("WITH film AS (SELECT name AS title FROM language) SELECT title FROM film",
         ["title = identity(language.name)"]),
        ("WITH film AS (SELECT title FROM film) SELECT title FROM film",
         ["title = identity(film.title)"]),
        ("WITH language AS (SELECT 1 AS name) SELECT name FROM public.language",
         ["name = identity(language.name)"]),
        ("WITH a AS (SELECT 1 AS x) SELECT (WITH a AS (SELECT title FROM film) "
         "SELECT title FROM a) AS t, x FROM a",
         ["t = identity(film.title)", "x = constant()"]),
        ("WITH RECURSIVE chain(id, name) AS (SELECT staff_id, first_name FROM staff UNION ALL "
         "SELECT s.staff_id, c.name || s.last_name FROM staff s JOIN chain c "
         "ON s.manager_id = c.id) SELECT * FROM chain",
         ["id = identity(staff.staff_id)", "name = expression(staff.first_name, staff.last_name)"]),
        ("WITH RECURSIVE n(a, b) AS (SELECT length, 0 FROM film UNION ALL SELECT a, a FROM n) "
         "SELECT b FROM n",
         ["b = identity(film.length)"]),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
         ["i = constant()"]),
        # Unions
        ("SELECT first_name FROM actor UNION ALL SELECT email FROM customer",
         ["first_name = identity(actor.first_name, customer.email)"]),
        ("SELECT amount AS a, 1 AS b FROM payment UNION SELECT amount * 2, payment_id "
         "FROM archive.payment",
         ["a = expression(archive.payment.amount, payment.amount)",
          "b = identity(archive.payment.payment_id)"]),
        ("SELECT actor_id FROM actor EXCEPT SELECT actor_id FROM film_actor",
         ["actor_id = identity(actor.actor_id)"]),
        ("(SELECT title FROM film ORDER BY length LIMIT 1) UNION ALL (SELECT name FROM category)",
         ["title = identity(category.name, film.title)"]),
        # What is not known
        ("SELECT x.a FROM elsewhere x", ["a = identity(?.elsewhere.a)"]),
        ("SELECT a FROM elsewhere", ["a = identity(?.elsewhere.a)"]),
        ("SELECT a FROM some.elsewhere", ["a = identity(some.elsewhere.a)"]),
        ("SELECT a FROM elsewhere, nowhere", ["a = unknown()"]),
        ("SELECT title, a FROM film, elsewhere",
         ["title = identity(film.title)", "a = identity(?.elsewhere.a)"]),
        ("SELECT * FROM elsewhere", ["* = unknown()"]),
        ("SELECT f.*, e.* FROM category f, elsewhere e",
         ["category_id = identity(category.category_id)", "name = identity(category.name)",
          "* = unknown()"]),
        ("SELECT t.a FROM (SELECT * FROM elsewhere) t", ["a = identity(?.elsewhere.a)"]),
        ("SELECT t.a FROM (SELECT * FROM elsewhere, nowhere) t", ["a = unknown()"]),
        ("SELECT e FROM elsewhere e", ["e = unknown()"]),
        ("SELECT (SELECT a FROM elsewhere) AS x FROM nowhere", ["x = unknown()"]),
        ("SELECT name FROM category NATURAL JOIN elsewhere", ["name = identity(category.name)"]),
        ("SELECT name FROM elsewhere NATURAL JOIN category", ["name = unknown()"]),
        ("SELECT name FROM elsewhere NATURAL RIGHT JOIN category",
         ["name = identity(category.name)"]),
        ("SELECT name FROM category NATURAL FULL JOIN elsewhere",
         ["name = unknown(category.name)"]),
        ("SELECT a FROM elsewhere JOIN nowhere USING (a)", ["a = identity(?.elsewhere.a)"]),
        ("SELECT title || e.a || b AS x FROM film, elsewhere e, nowhere",
         ["x = unknown(?.elsewhere.a, film.title)"]),
        ("SELECT missing FROM film", ["missing = unknown()"]),
        ("SELECT nothing.title FROM film", ["title = unknown()"]),
        ("SELECT a FROM (SELECT a FROM elsewhere UNION SELECT * FROM nowhere) t",
         ["a = unknown()"]),
        ("SELECT r.k FROM some_function(1) AS r", ["k = unknown()"]),
    ],
)  # fmt: skip
def test_where_columns_come_from(query, expected):
    assert told(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT Title AS Name FROM `Film` WHERE LENGTH > 1", ["name = identity(film.title)"]),
        ("SELECT IF(active, email, 'x') AS mail FROM customer",
         ["mail = expression(customer.email)"]),
        ("SELECT IFNULL(email, first_name) AS called FROM customer",
         ["called = expression(customer.email, customer.first_name)"]),
        ("SELECT GROUP_CONCAT(DISTINCT title ORDER BY length SEPARATOR ';') AS t FROM film",
         ["t = aggregate(film.title)"]),
        ("SELECT @n := @n + amount AS n, @@version AS v FROM payment",
         ["n = unknown(payment.amount)", "v = constant()"]),
        ("SELECT j.* FROM film, JSON_TABLE(description, '$[*]' COLUMNS (a INT PATH '$.a', "
         "NESTED PATH '$.b' COLUMNS (c INT PATH '$'))) AS j",
         ["a = expression(film.description)", "c = expression(film.description)"]),
        ("SELECT CONCAT(first_name, \" \", last_name) AS name FROM actor",
         ["name = expression(actor.first_name, actor.last_name)"]),
        ("WITH RECURSIVE t AS (SELECT staff_id AS a FROM staff UNION ALL SELECT a + 1 FROM t "
         "UNION ALL SELECT a + manager_id FROM t JOIN staff) SELECT a FROM t",
         ["a = expression(staff.manager_id, staff.staff_id)"]),
        ("SELECT amount FROM `archive`.`payment`", ["amount = identity(archive.payment.amount)"]),
    ],
)  # fmt: skip
def test_the_same_in_mysql(query, expected):
    assert told(query, "mysql") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT title FROM film WHERE length > 60",
         ["title = identity(film.title) by film.length"]),
        ("SELECT title FROM film WHERE title > 'A'", ["title = identity(film.title)"]),
        ("SELECT rating, count(*) AS n FROM film GROUP BY rating HAVING min(length) > 1",
         ["rating = identity(film.rating) by film.length",
          "n = aggregate() by film.length, film.rating"]),
        ("SELECT rating AS r, count(*) AS n FROM film GROUP BY 1",
         ["r = identity(film.rating)", "n = aggregate() by film.rating"]),
        ("SELECT title FROM film ORDER BY length", ["title = identity(film.title)"]),
        ("SELECT title FROM film ORDER BY length LIMIT 1",
         ["title = identity(film.title) by film.length"]),
        ("SELECT title, length + 1 AS more FROM film ORDER BY more LIMIT 1",
         ["title = identity(film.title) by film.length", "more = expression(film.length)"]),
        ("SELECT DISTINCT ON (rating) title FROM film",
         ["title = identity(film.title) by film.rating"]),
        ("SELECT CASE WHEN active = 1 THEN email END AS mail FROM customer",
         ["mail = expression(customer.email) by customer.active"]),
        ("SELECT f.title FROM film f JOIN language l ON l.language_id = f.language_id",
         ["title = identity(film.title) by film.language_id, language.language_id"]),
        ("SELECT name FROM film JOIN language USING (language_id)",
         ["name = identity(language.name) by film.language_id, language.language_id"]),
        ("SELECT title FROM film f WHERE EXISTS "
         "(SELECT 1 FROM inventory i WHERE i.film_id = f.film_id)",
         ["title = identity(film.title) by film.film_id, inventory.film_id"]),
        ("SELECT title FROM film WHERE film_id IN (SELECT film_id FROM inventory)",
         ["title = identity(film.title) by film.film_id, inventory.film_id"]),
        ("SELECT sum(amount) OVER (PARTITION BY staff_id ORDER BY payment_date) AS s FROM payment",
         ["s = window(payment.amount) by payment.payment_date, payment.staff_id"]),
        ("SELECT rank() OVER w AS r FROM payment WINDOW w AS (ORDER BY amount)",
         ["r = window() by payment.amount"]),
        ("SELECT count(*) FILTER (WHERE amount > 1) AS n FROM payment",
         ["n = aggregate() by payment.amount"]),
        ("SELECT t.email FROM (SELECT email FROM customer WHERE active = 1) t",
         ["email = identity(customer.email) by customer.active"]),
        ("SELECT actor_id FROM actor EXCEPT SELECT actor_id FROM film_actor",
         ["actor_id = identity(actor.actor_id) by film_actor.actor_id"]),
        ("SELECT title FROM film UNION SELECT name FROM language ORDER BY 1 LIMIT 3",
         ["title = identity(film.title, language.name)"]),
        ("SELECT t.a FROM (SELECT * FROM elsewhere WHERE b) t",
         ["a = identity(?.elsewhere.a) by ?.elsewhere.b"]),
    ],
)  # fmt: skip
def test_columns_that_only_choose_are_told_when_they_are_asked_for(query, expected):
    assert told(query, indirect=True) == expected
    without = [line.partition(" by ")[0] for line in expected]
    assert told(query) == without


def test_the_names_that_the_database_gave_are_taken():
    assert told("SELECT 1 + length, title FROM film", names=["?column?", "title"]) == [
        "?column? = expression(film.length)",
        "title = identity(film.title)",
    ]
    assert told("SELECT Title FROM Film", "mysql", names=["Title"]) == [
        "Title = identity(film.title)"
    ]


def test_behind_a_star_that_nobody_described_names_decide_and_the_rest_is_unknown():
    query = "SELECT e.*, f.title FROM elsewhere e, film f"
    assert told(query, names=["a", "b", "title"]) == [
        "a = unknown()",
        "b = unknown()",
        "title = identity(film.title)",
    ]


def test_a_semicolon_and_a_comment_may_stand_behind_a_query():
    assert told("SELECT title FROM film; -- all") == ["title = identity(film.title)"]


def test_what_is_no_query_has_columns_that_nobody_knows():
    assert told("SHOW TABLES", "mysql") == ["* = unknown()"]
    assert told("EXPLAIN SELECT title FROM film", names=["QUERY PLAN"]) == [
        "QUERY PLAN = unknown()"
    ]


def test_columns_are_plain_values():
    (column,) = columns_of("SELECT title FROM public.film", "postgres", TABLES)
    assert column == Column("title", "identity", (Source("public", "film", "title"),))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT FROM WHERE", "The query could not be read."),
        ("SELECT DATE_ADD(a, CREATE TABLE x AS SELECT 1", "The query could not be read."),
        ("SELECT 1; SELECT 2", "Lineage is told of one query; found 2."),
        ("-- nothing", "Lineage is told of one query; found 0."),
        (f"SELECT {'(' * 5000}1{')' * 5000}", "The query is nested too deep."),
        (f"SELECT {'+'.join(['length'] * 20_000)} FROM film", "The query is nested too deep."),
    ],
)
def test_what_cannot_be_read_is_given_up_with_a_sentence(query, sentence):
    with pytest.raises(UnreadableQuery) as raised:
        told(query)
    assert str(raised.value) == sentence


def test_the_work_grows_with_the_columns_of_a_query_and_not_with_their_square(monkeypatch):
    asked = []
    flow = Walk.flow
    monkeypatch.setattr(Walk, "flow", lambda self, *given: asked.append(1) or flow(self, *given))

    def work(columns):
        asked.clear()
        inner = ", ".join(f"f.title || f.length::text AS c{number}" for number in range(columns))
        outer = ", ".join(f"a.c{number} AS d{number}" for number in range(columns))
        query = f"WITH a AS (SELECT {inner} FROM film f) SELECT {outer} FROM a WHERE c1 > ''"
        assert told(query)[-1] == f"d{columns - 1} = expression(film.length, film.title)"
        return len(asked)

    assert work(500) < 5.1 * work(100)
