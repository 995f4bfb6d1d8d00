-- An account that can only read the shop.
CREATE ROLE shop_reader LOGIN PASSWORD 'shop_reader';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop_reader;
