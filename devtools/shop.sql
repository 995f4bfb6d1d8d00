-- A small shop, the demo's source: the same rows on every machine.

CREATE TABLE customers (
    id integer PRIMARY KEY,
    full_name text NOT NULL,
    email text NOT NULL UNIQUE,
    street text NOT NULL,
    city text NOT NULL,
    country char(2) NOT NULL,
    newsletter boolean NOT NULL,
    registered_at timestamptz NOT NULL
);

CREATE TABLE products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price numeric(8, 2) NOT NULL,
    weight_kg double precision
);

CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    status text NOT NULL,
    ordered_on date NOT NULL,
    note text
);

CREATE TABLE order_items (
    order_id integer NOT NULL REFERENCES orders,
    product_id integer NOT NULL REFERENCES products,
    quantity integer NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

WITH words AS (
    SELECT
        ARRAY['Ada', 'Alan', 'Barbara', 'Edsger', 'Frances', 'Grace', 'Hedy', 'John', 'Katherine',
              'Leslie', 'Margaret', 'Niklaus', 'Radia', 'Tony', 'Zoë'] AS firsts,
        ARRAY['Allen', 'Dijkstra', 'Goldberg', 'Hamilton', 'Hoare', 'Hopper', 'Johnson', 'Kay',
              'Lamport', 'Liskov', 'Lovelace', 'Perlman', 'Turing', 'Wirth', 'Müller', 'O''Neil',
              'Noether'] AS lasts,
        ARRAY['Station Road', 'High Street', 'Rue de la Paix', 'Lindenallee', 'Via Roma'] AS streets,
        ARRAY['London', 'Paris', 'Berlin', 'Roma', 'Wien', 'Zürich', 'Madrid'] AS cities,
        ARRAY['GB', 'FR', 'DE', 'IT', 'AT', 'CH', 'ES'] AS countries
)
INSERT INTO customers
SELECT
    n,
    firsts[1 + n % 15] || ' ' || lasts[1 + n % 17],
    'customer' || n || '@example.com',
    streets[1 + n % 5] || ' ' || 1 + n % 120,
    cities[1 + n % 7],
    countries[1 + n % 7],
    n % 3 = 0,
    timestamptz '2023-01-01 08:00:00+00' + n * interval '7 hours 13 minutes'
FROM words, generate_series(1, 3000) AS n;

INSERT INTO products
SELECT
    n,
    (ARRAY['Desk', 'Lamp', 'Chair', 'Shelf', 'Mug', 'Kettle', 'Rug', 'Clock'])[1 + n % 8]
        || ' no. ' || n,
    round((5 + (n * 37 % 2000) / 10.0)::numeric, 2),
    CASE WHEN n % 9 <> 0 THEN n * 13 % 300 / 10.0 END
FROM generate_series(1, 200) AS n;

INSERT INTO orders
SELECT
    n,
    1 + n * 7919 % 3000,
    (ARRAY['paid', 'paid', 'shipped', 'shipped', 'returned', 'cancelled'])[1 + n % 6],
    date '2024-01-01' + n % 700,
    CASE WHEN n % 10 = 0 THEN 'Ring twice' END
FROM generate_series(1, 8000) AS n;

INSERT INTO order_items
SELECT n, 1 + (n * 31 + i * 53) % 200, 1 + (n + i) % 4
FROM generate_series(1, 8000) AS n, generate_series(1, 1 + n % 3) AS i;

ANALYZE;
