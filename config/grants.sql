-- Prints the least that the role which Lakeferry connects as needs for one target, which may be
-- there already. Nothing is changed. Look at it, then run it as the owner of the database:
--
--   psql -XqAt -d app -v role=ferry -v target=public.customers_hot -f config/grants.sql | psql -d app
--
-- The target is written as SQL writes it. A table that the role itself makes needs nothing more.

-- Changes wait in a temporary table.
SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I;', current_database(), :'role');

-- Watermarks, leases and the record of runs. In a schema of its own, the role needs no right to
-- create others.
SELECT format('CREATE SCHEMA IF NOT EXISTS lakeferry AUTHORIZATION %I;', :'role');

-- A first fill makes its table here, and a rebuild the one where its rows wait.
SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I;', (parse_ident(:'target'))[1], :'role');

-- A table that is there already. Its owner alone can alter it: where the source's columns change, the
-- job halts with the statement.
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO %I;', nspname, relname, :'role')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(:'target') AND NOT pg_has_role(:'role', c.relowner, 'USAGE');

-- Sequences that defaults of its columns draw from.
SELECT DISTINCT format('GRANT USAGE ON SEQUENCE %I.%I TO %I;', nspname, relname, :'role')
FROM pg_attrdef AS f
JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
    AND d.refclassid = 'pg_class'::regclass
JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE f.adrelid = to_regclass(:'target') AND NOT pg_has_role(:'role', c.relowner, 'USAGE');
