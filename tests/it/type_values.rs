//! Every type, and values of it.

/// What the types below are made of.
pub(crate) const DEFINITIONS: &str = r#"
    create extension hstore; create extension citext; create extension ltree;
    create type mood as enum ('sad', 'ok', 'happy "very"', 'Ünder, {the} \ 😀');
    create domain positive as int check (value > 0);
    create domain positives as positive[];
    create domain nested_domain as positives;
    create type address as (street text, "zip code" int, tags text[]);
    create type person as (name text, home address, moods mood[], born date);
    create domain home as address;
    create type floatrange as range (subtype = float8, multirange_type_name = floatmultirange);
    create type textrange as range (subtype = text);
    create domain moment as timestamptz; create domain feeling as mood; create domain span as int4range;
    create domain spans as int4multirange; create domain document as json; create domain documentb as jsonb;
    create domain pairs as hstore; create domain flag as boolean; create domain label as varchar(20);
    create domain amount as numeric; create domain far_home as home; create domain homes as address[];
    create type nothing as ();
    create type lone as (v text);
    create table once (a int, gone text, b text); alter table once drop column gone;
    create type team as (
        lead person, members person[], extra hstore, doc jsonb, note json, at timestamptz[], r numrange, ok boolean,
        score float8, raw bytea, tags text[], none nothing
    );
"#;

/// A type, and values of it as SQL. The first ones are the examples of `docs/types.md`.
pub(crate) const VALUES: &[(&str, &[&str])] = &[
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "0"]),
    ("bigint", &["9223372036854775807", "-9223372036854775808"]),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0.00",
            "-1e-30",
            "123456789012345678901234567890.5",
            "1e130",
            "-(repeat('9', 131072) || '.' || repeat('7', 16383))::numeric",
            "('0.' || repeat('0', 16382) || '1')::numeric",
        ],
    ),
    ("numeric(20,4)", &["12.5", "-0.0001"]),
    (
        "real",
        &[
            "1.1",
            "'-0'",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1e-45",
            "1.17549421e-38",
            "3.4e38",
            "16777216",
            "0.1",
        ],
    ),
    (
        "double precision",
        &[
            "0.1",
            "'-0'",
            "'NaN'",
            "'-Infinity'",
            "5e-324",
            "2.225073858507201e-308",
            "2.2250738585072014e-308",
            "123456789012345680",
            "1.7976931348623157e308",
            "1e22",
        ],
    ),
    ("money", &["12.34", "-1234567.8"]),
    ("boolean", &["true", "false"]),
    ("char(5)", &["'ab'", "''"]),
    ("varchar(9)", &["'Straße'", "''"]),
    ("name", &["'a name'"]),
    ("\"char\"", &["'x'", "''"]),
    (
        "text",
        &[r#"E'\\ \" \b\f\n\r\t\x01\x7f'"#, "'😀 é \u{2028}'", "''"],
    ),
    (
        "bytea",
        &[
            r"'\x00ff5c22'",
            "''",
            "decode(repeat('00ff', 40000), 'hex')",
        ],
    ),
    (
        "date",
        &[
            "'0044-03-15 BC'",
            "'infinity'",
            "'-infinity'",
            "'5874897-12-31'",
            "'2024-02-29'",
        ],
    ),
    ("time", &["'24:00:00'", "'00:00:00.000001'"]),
    ("timetz", &["'12:00:00+05:30'", "'24:00:00-15:59'"]),
    (
        "timestamp",
        &[
            "'294276-12-31 23:59:59.999999'",
            "'4713-01-01 00:00:00 BC'",
            "'infinity'",
            "'2024-01-01'",
        ],
    ),
    (
        "timestamptz",
        &[
            "'294276-12-31 23:59:59.999999+00'",
            "'4713-01-02 00:00:00+00 BC'",
            "'-infinity'",
            "'2024-06-01 12:00+05:30'",
        ],
    ),
    (
        "interval",
        &[
            "'1 year -2 mons 3 days -04:05:06.789'",
            "'0'",
            "'-1 day'",
            "'-178956970 years -8 mons'",
            "'596523:00:54.775807'",
        ],
    ),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    (
        "json",
        &[
            r#"'{"b": 1,  "a": [1e400, null, "\ud83d\ude00"]}'"#,
            "'3'",
            "'null'",
            "'\"x\"'",
            r#"'{"a": 1, "b": 2, "a": {"c": 3, "c": 4}}'"#,
            "(repeat('[', 5000) || repeat(']', 5000))::json",
            "(repeat('{\"a\":', 3000) || '1e-400' || repeat('}', 3000))::json",
            "'  [ 1 ,\n\t2 ]  '",
        ],
    ),
    (
        "jsonb",
        &[
            r#"'{"b": 1, "a": [123456789012345678901234567890.10, {}, []]}'"#,
            "'null'",
            "'true'",
            "(repeat('[', 3000) || repeat(']', 3000))::jsonb",
            r#"'{"a": 1, "a": 2, "": "\ud83d\ude00\u0001"}'"#,
        ],
    ),
    (
        "xml",
        &[
            "'<a b=\"c\">d</a>'",
            "'<?xml version=\"1.0\" encoding=\"LATIN1\"?><a/>'",
        ],
    ),
    ("bit(5)", &["B'10101'"]),
    ("varbit", &["B'1'", "B''"]),
    ("inet", &["'192.168.1.1/24'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("point", &["'(1.5,-2)'"]),
    ("line", &["'{1,2,3}'"]),
    ("lseg", &["'[(0,0),(1,1)]'"]),
    ("box", &["'(1,1),(0,0)'"]),
    ("path", &["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"]),
    ("polygon", &["'((0,0),(1,1),(1,0))'"]),
    ("circle", &["'<(1,2),3>'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("txid_snapshot", &["'10:20:10,14,15'"]),
    ("pg_snapshot", &["'10:20:10,14,15'"]),
    ("xid8", &["'42'"]),
    ("oid", &["4294967295"]),
    ("regclass", &["'pg_class'"]),
    ("regtype", &["'integer'"]),
    ("int2vector", &["'1 2 3'"]),
    ("oidvector", &["'1 2'"]),
    ("tsvector", &["'a:1 fat:2,4 ''quoted'''"]),
    ("tsquery", &["'fat & !rat'"]),
    ("int4range", &["'[1,10)'", "'empty'", "'(,)'"]),
    ("tstzrange", &["'[2024-01-01,)'"]),
    ("nummultirange", &["'{[1,2),[3,4)}'", "'{}'", "'{(,)}'"]),
    (
        "mood",
        &["'ok'", "'happy \"very\"'", "'Ünder, {the} \\ 😀'"],
    ),
    ("positive", &["7"]),
    ("positives", &["'{1,2}'"]),
    ("nested_domain", &["'{3}'"]),
    (
        "address",
        &[
            r#"row('a "b" \ , ( )', 1, '{x,"y z",NULL}')"#,
            "row(null, null, null)",
            "row('', 0, '{}')",
        ],
    ),
    (
        "person",
        &[r#"row('Ada', row('x, "y"', 2, '{"q\"w"}'), '{ok,"happy \"very\""}', '2024-01-01')"#],
    ),
    ("home", &["row('s', 1, null)"]),
    (
        "address[]",
        &[r#"array[row('a b', 1, '{c}'), null, row('"', null, null)]::address[]"#],
    ),
    ("timestamptz[]", &["'{2024-01-01 00:00+00,NULL,infinity}'"]),
    ("text[]", &[r#"'[0:1][2:3]={{a,"b,c"},{"",NULL}}'"#, "'{}'"]),
    ("box[]", &["'{(1,1),(0,0);(2,2),(1,1)}'"]),
    (
        "hstore",
        &[r#"'"a b"=>"1", "c"=>NULL, "q\"=>"=>"\\"'"#, "''"],
    ),
    ("citext", &["'MiXed'"]),
    ("ltree", &["'top.science'"]),
    (
        "int8range",
        &["'[9223372036854775806,9223372036854775807)'"],
    ),
    ("numrange", &["'[1.5,)'", "'(,0.0]'"]),
    (
        "daterange",
        &["'[2024-01-01,infinity)'", "'(0044-03-15 BC,]'"],
    ),
    ("tsrange", &["'[0044-03-15 BC,2024-01-01 12:00:00.5)'"]),
    ("int4multirange", &["'{[1,10),(20,)}'"]),
    ("tstzmultirange", &["'{[2024-01-01,2024-02-01)}'"]),
    ("floatrange", &["'[-0,NaN)'", "'[1e-300,1e300]'"]),
    ("floatmultirange", &["'{[1,2],(3,4)}'"]),
    ("textrange", &[r#"'["a\"","b, c)")'"#, "'(,\"\"]'"]),
    ("xid", &["'4294967295'"]),
    ("cid", &["'7'"]),
    ("tid", &["'(4294967295,65535)'"]),
    ("regproc", &["'now'", "0"]),
    ("regprocedure", &["'lower(text)'"]),
    ("regoper", &["'||/'"]),
    ("regoperator", &["'+(integer,integer)'"]),
    ("regrole", &["'postgres'"]),
    ("regnamespace", &["'pg_catalog'"]),
    ("regconfig", &["'simple'"]),
    ("regdictionary", &["'simple'"]),
    ("regcollation", &["'\"C\"'"]),
    ("jsonpath", &[r#"'$.a[*] ? (@ > 1 && @.b == "x\"y")'"#]),
    ("refcursor", &["'cursor'"]),
    ("aclitem", &["'postgres=arwdDxt/postgres'"]),
    ("bpchar", &["'trailing  '"]),
    ("varchar", &["repeat('wide ', 100000)"]),
    ("time(3)", &["'12:34:56.7895'"]),
    ("timestamp(0)", &["'2024-01-01 12:34:56.5'"]),
    ("moment", &["'2024-06-01 12:00+05:30'", "'infinity'"]),
    ("feeling", &["'ok'"]),
    ("span", &["'[1,5]'", "'empty'"]),
    ("spans", &["'{[1,5],[7,9]}'"]),
    ("document", &[r#"'{"b":1, "a":[]}'"#, "'null'"]),
    ("documentb", &[r#"'{"b":1, "a":[]}'"#]),
    ("pairs", &[r#"'"a"=>"1"'"#]),
    ("flag", &["true"]),
    ("label", &["'x \"y\"'"]),
    ("amount", &["1.50", "'NaN'"]),
    ("far_home", &[r#"row('s, "x"', 1, '{a}')"#]),
    (
        "homes",
        &[r#"array[row('s', 1, '{"a b"}'), null]::address[]"#],
    ),
    ("nothing", &["row()::nothing"]),
    ("lone", &["row(null)", "row('')", "row('()')"]),
    ("once", &["row(1, 'x')"]),
    (
        "team",
        &[
            r#"row(
                row('Ada', row('x', 2, '{"q\"w",NULL}'), '{ok}', '2024-01-01'),
                array[row('B', null, '{}', null), null, row('C "x"', row('\', 1, '{{a,b},{c,d}}'), null, 'infinity')]::person[],
                '"k"=>"v \"w\""', '{"a": [1, "\""]}', '{"x" : 1}', array['2024-01-01 00:00+00', null]::timestamptz[],
                '[1,2)', true, 'NaN', '\x00ff', '{"(1,2)"}', row()
            )"#,
            "row(null, null, null, null, null, null, null, null, null, null, null, null)",
        ],
    ),
    (
        "person[]",
        &[r#"array[row('A', row('s', 1, '{"a,b"}'), '{ok,NULL}', null), null]::person[]"#],
    ),
    (
        "team[]",
        &[
            "array[row(null, '{}', null, '{}', 'null', '{}', 'empty', false, -0.0, '', '{}', null)]::team[]",
        ],
    ),
    (
        "json[]",
        &[r#"array['{"a" : "b,c\"}"}', '[1, 2]', 'null', null, '"NULL"']::json[]"#],
    ),
    ("jsonb[]", &[r#"array['{"a": "\\"}', '1e5']::jsonb[]"#]),
    (
        "numeric[]",
        &["'{NaN,1.50,NULL,-Infinity,1e100}'", "'{{1,2},{3,4}}'"],
    ),
    ("double precision[]", &["'{-0,5e-324,Infinity,NaN}'"]),
    ("boolean[]", &["'{t,f,NULL}'", "'[5:6]={t,f}'"]),
    ("bytea[]", &[r"array['\x00ff'::bytea, '', null]"]),
    ("int4range[]", &["'{\"[1,2)\",empty,NULL,\"(,)\"}'"]),
    (
        "nummultirange[]",
        &["array['{[1,2),[3,4)}', '{}', null]::nummultirange[]"],
    ),
    (
        "textrange[]",
        &[r#"array['["a\"","b, c)")', 'empty']::textrange[]"#],
    ),
    (
        "mood[]",
        &["array['ok', null, 'happy \"very\"', 'Ünder, {the} \\ 😀']::mood[]"],
    ),
    ("positive[]", &["'{1,2,NULL}'"]),
    ("positives[]", &["array['{1,2}', null, '{}']::positives[]"]),
    ("moment[]", &["'{2024-01-01 00:00+00,-infinity}'"]),
    ("document[]", &[r#"array['{"a":1}', null]::document[]"#]),
    ("hstore[]", &[r#"array['"a"=>"1,2"', '', null]::hstore[]"#]),
    ("citext[]", &["'{MiXed,NULL,\"a b\"}'"]),
    ("ltree[]", &["'{a.b,NULL,c}'"]),
    ("date[]", &["'{2024-01-01,0044-03-15 BC,infinity}'"]),
    (
        "timestamp[]",
        &["'{{2024-01-01,infinity},{0044-03-15 BC,NULL}}'"],
    ),
    ("interval[]", &["'{1 day,\"-1 mons +2 days 03:00:00\"}'"]),
    ("uuid[]", &["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"]),
    ("inet[]", &["'{192.168.1.1/24,::1}'"]),
    ("money[]", &["'{12.34,\"$1,000.00\"}'"]),
    ("varbit[]", &["'{101,\"\"}'"]),
    ("xml[]", &["'{<a/>,\"<b c=\\\"d\\\"/>\"}'"]),
    ("\"char\"[]", &["'{a,\"\",NULL}'"]),
    ("char(3)[]", &["'{a,bc}'"]),
    ("point[]", &["'{\"(1,2)\",\"(3,4)\"}'"]),
    ("polygon[]", &["array['((0,0),(1,1))']::polygon[]"]),
    ("tsvector[]", &["array['a:1 b:2']::tsvector[]"]),
    ("regclass[]", &["'{pg_class,pg_type}'"]),
    ("oidvector[]", &["array['1 2', '']::oidvector[]"]),
    (
        "integer[]",
        &[
            "'[-2:0][5:5][0:1]={{{1,2}},{{3,4}},{{5,NULL}}}'",
            "'{{{{{{1}}}}}}'",
        ],
    ),
    ("name[]", &["'{a,NULL}'"]),
];
