"""What a refused login says, in the languages that PostgreSQL's own messages are kept in.

psycopg2 does not tell a failed login's SQLSTATE. The order matters: the first that fits is meant.
"""

from __future__ import annotations

import re

from sources.login import AUTHENTICATION, FULL, STARTING, UNKNOWN_DATABASE, Refusal

REFUSALS: tuple[tuple[re.Pattern[str], Refusal], ...] = tuple(
    (re.compile(words, re.IGNORECASE), refusal)
    for words, refusal in (
        # With ssl_mode prefer there are two attempts: a wrong password says more than a missing
        # line of pg_hba.conf.
        (
            r"password authentication failed|Passwort-Authentifizierung|autentificación password"
            r"|authentification par mot de passe|autenticazione con password|パスワード認証に失敗"
            r"|password 인증을 실패|подлинности \(по паролю\)|Lösenordsautentisering"
            r"|за допомогою пароля|Password 认证失败|პაროლით ავთენტიფიკაცია",
            AUTHENTICATION,
        ),
        (
            r"pg_hba\.conf",
            Refusal(
                "permission_denied",
                "login",
                "{address} accepts no login of user {user} to database {database} from "
                "this machine",
                "Add a line for this machine to the server's pg_hba.conf; some lines also ask for "
                "TLS.",
            ),
        ),
        (
            r"too many (clients|connections)|connection slots|connection limit|no more connections"
            r"|zu viele Verbindungen|verbleibenden Verbindungen|demasiad[oa]s (clientes|conexiones)"
            r"|conexiones restantes|trop de (clients|connexions)|connexions restants|troppi client"
            r"|troppe connession|slot di connessione|クライアント数が多すぎ|接続が多すぎ"
            r"|接続スロット|동시 접속|최대 접속수|연결 슬롯|лишком много|слоты подключений"
            r"|för många (klient|uppk)"
            r"|anslutningsslottar|забагато (клієнт|підключ)|слоти підключень|太多|连接位置"
            r"|მეტისმეტად ბევრი|ძალიან ბევრი",
            FULL,
        ),
        (
            r"database .* does not exist|no such database|Datenbank .* existiert nicht"
            r"|no existe la base de datos|base de données .* n'existe pas|database .* non esiste"
            r"|データベース.*存在しません|데이터베이스 없음|база данных .* не существует"
            r"|databasen .* existerar inte|бази даних .* не існує|数据库 .* 不存在"
            r"|მონაცემთა ბაზა .* არ არსებობს",
            UNKNOWN_DATABASE,
        ),
        (
            r"permission denied for database|CONNECT privilege|Berechtigung für Datenbank"
            r"|permiso denegado a la base|droit refusé pour la base|permesso negato per il database"
            r"|データベース .* へのアクセスが拒否|데이터베이스 접근 권한|нет доступа к базе"
            r"|saknas för databas|немає доступу для бази|对数据库 .* 权限|წვდომა აკრძალულია",
            Refusal(
                "permission_denied",
                "database",
                "User {user} may not connect to database {database} at {address}",
                "Grant the account CONNECT on the database.",
            ),
        ),
        (
            r"starting up|shutting down|recovery mode|not (yet|currently) accepting"
            r"|Datenbanksystem|sistema de base de datos|système de bases? de données|il database si"
            r"|データベースシステム|데이터베이스 시스템|система баз данных|databassystemet"
            r"|система бази даних|数据库系统|ბაზის სისტემ",
            STARTING,
        ),
        (
            r"authentication failed|no password supplied|no such user|role .* does not exist"
            r"|not permitted to log in|SCRAM|SASL|GSSAPI|LDAP|RADIUS|Ident|authentication method"
            r"|Rolle .*(existiert|Einloggen)|el rol|al rol|rôle|ruolo|ロール|롤|роль|роли|rolle?n? "
            r"|ролі|角色|როლ",
            AUTHENTICATION,
        ),
        (
            r"server does not support SSL|SSL error|SSL SYSCALL|certificate|private key|TLS",
            Refusal(
                "tls_failed",
                "tls",
                "TLS with {address} failed",
                "Check ssl_mode, and with verify-ca or verify-full that ssl_ca signed the "
                "certificate.",
            ),
        ),
    )
)
