"""Two shops that lend films, as databases describe them: 25 tables and views each.

PostgreSQL's has a schema `archive`, views, and names that need quotes; MariaDB's is named `sakila`.
"""

COMMON = {
    "actor": "actor_id first_name last_name last_update",
    "address": "address_id address address2 district city_id postal_code phone last_update",
    "category": "category_id name last_update",
    "city": "city_id city country_id last_update",
    "country": "country_id country last_update",
    "customer": "customer_id store_id first_name last_name email address_id active create_date",
    "employee": "employee_id boss_id name salary",
    "film": "film_id title description release_year language_id original_language_id length "
    "rental_rate rating special_features",
    "film_actor": "actor_id film_id last_update",
    "film_category": "film_id category_id last_update",
    "film_text": "film_id title description",
    "inventory": "inventory_id film_id store_id last_update",
    "language": "language_id name last_update",
    "payment": "payment_id customer_id staff_id rental_id amount payment_date",
    "price_list": "film_id valid_from attributes",
    "rental": "rental_id rental_date inventory_id customer_id return_date staff_id",
    "staff": "staff_id first_name last_name address_id store_id email picture",
    "store": "store_id manager_staff_id address_id last_update",
    "event_log": "event_id at kind payload",
    "budget": "store_id year q1 q2 q3 q4",
    "film_list": "fid title category price actors",
    "customer_list": "id name address city country",
}
PAGILA = {
    "public": COMMON | {"Film Notes": "note_id,Note Text,film_id", "Order": "Select,From"},
    "archive": {"payment": "payment_id amount paid_on"},
}
SAKILA = {
    "sakila": COMMON | {"Film Notes": "note_id,Note Text,film_id", "order": "Select,From"},
    "archive": {"payment": "payment_id amount paid_on"},
}


def described(database):
    """Return the columns by schema and table, as `lineage.query.columns_of` takes them."""
    return {
        schema: {
            name: columns.split("," if "," in columns else None) for name, columns in found.items()
        }
        for schema, found in database.items()
    }
