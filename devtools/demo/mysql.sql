-- An account that can only read the shop.
CREATE USER 'shop_reader'@'%' IDENTIFIED BY 'shop_reader';
GRANT SELECT ON shop.* TO 'shop_reader'@'%';
