# Sourced by the PostgreSQL image when it first creates its cluster: a database of Orthanc's own, with a role that
# cannot read the server's.
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set=password="$(cat /run/secrets/orthanc_database_password)" <<'SQL'
CREATE ROLE orthanc LOGIN PASSWORD :'password';
CREATE DATABASE orthanc OWNER orthanc;
REVOKE CONNECT ON DATABASE interop FROM PUBLIC;
SQL
