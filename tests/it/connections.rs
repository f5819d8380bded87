//! Ways to reach a server: socket, password, TLS. Each holds for ordinary sessions and for the
//! replication session alike.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_postgres::Client;

use crate::cluster::{Cluster, Database, PASSWORD, unprivileged_user};
use crate::daemon::Rowhook;
use crate::logged::{wait_for, wait_for_logged};

/// A certificate authority with what it has signed.
struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let this = Self {
            directory: TempDir::with_prefix("rowhook-ca-").unwrap(),
        };
        this.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ]);
        this
    }

    /// Signs a certificate `name.crt` for `name.key`; servers are asked for by their DNS name.
    fn sign(&self, name: &str) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let extensions = format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.file("extensions"), extensions).unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "extensions",
            "-out",
            &format!("{name}.crt"),
        ]);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    }
}

/// A server with TLS, a database with a table, and who signed the server's certificate.
struct Secured {
    authority: Authority,
    client: Client,
    database: Database,
}

impl Secured {
    /// TCP is let in by these lines of pg_hba.conf alone.
    async fn start(rules: &[&str]) -> Self {
        let authority = Authority::new();
        authority.sign("localhost");
        let cluster = Arc::new(Cluster::start(&[]).await);
        let database = Database::create_in(&cluster).await;
        let data = cluster.data();
        install(&authority.file("ca.crt"), &data.join("root.crt"));
        let rules = ["local all all trust"].iter().chain(rules).copied();
        let rules = rules.collect::<Vec<_>>().join("\n") + "\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let secured = Self {
            client: database.client().await,
            authority,
            database,
        };
        secured.serve("localhost");
        for sql in [
            "alter system set ssl_ca_file = 'root.crt'",
            "alter system set ssl = on",
            "select pg_reload_conf()",
            "create table t (id int generated always as identity primary key)",
        ] {
            secured.client.batch_execute(sql).await.unwrap();
        }
        secured
    }

    /// Puts the server's certificate and key in place; they take effect when it reloads.
    fn serve(&self, name: &str) {
        let data = self.database.cluster.data();
        for kind in ["crt", "key"] {
            let from = self.authority.file(&format!("{name}.{kind}"));
            install(&from, &data.join(format!("server.{kind}")));
        }
    }

    /// Settings with the server's name instead of its address.
    fn rowhook(&self) -> Rowhook {
        let url = self.database.url().replace("127.0.0.1", "localhost");
        Rowhook::new(&self.database).set("source.url", url)
    }

    /// Captures a row, and tells whether all of the daemon's sessions used TLS (`Some`), or only
    /// some of them (`None`).
    async fn captures(&self, rowhook: &Rowhook) -> Option<bool> {
        rowhook.setup().await;
        let logged = crate::logged::count(&self.client).await;
        // Those of the daemon before may not have ended at the server yet.
        wait_for(&self.client, "the end of all sessions", async || {
            self.sessions().await.0 == 0
        })
        .await;
        let mut daemon = rowhook.spawn_ready().await;
        let insert = "insert into t default values";
        self.client.batch_execute(insert).await.unwrap();
        wait_for_logged(&self.client, logged + 1).await;
        wait_for(&self.client, "three sessions", async || {
            self.sessions().await.0 >= 3
        })
        .await;
        let (all, secured) = self.sessions().await;
        assert_eq!(daemon.stop().await, Some(0));
        match secured {
            0 => Some(false),
            _ if secured == all => Some(true),
            _ => None,
        }
    }

    /// The sessions of rowhook, and how many of them use TLS.
    async fn sessions(&self) -> (i64, i64) {
        let sql = "select count(*), count(*) filter (where ssl)
                     from pg_stat_ssl join pg_stat_activity using (pid)
                    where application_name like 'rowhook%'";
        let row = self.client.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }
}

/// Copies a file so that the server may read it, and nobody else.
fn install(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::copy(from, to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).unwrap();
    if let Some(user) = unprivileged_user() {
        let mut chown = Command::new("chown");
        assert!(chown.arg(user).arg(to).status().unwrap().success());
    }
}

#[tokio::test]
async fn a_unix_socket_is_a_host() {
    let (database, client) = database().await;
    let rowhook = Rowhook::new(&database).set("source.url", database.socket_url());
    assert_eq!(over_tcp(&rowhook, &client).await, Some(false));
}

#[tokio::test]
async fn a_password_is_proven_by_scram_from_wherever_it_is_written() {
    let (database, client) = database().await;
    let sql = "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'postgres'";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    let by_file = Rowhook::new(&database);
    let file = by_file.directory().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let without = database.cluster.url_without_password(&database.name);
    for rowhook in [
        Rowhook::new(&database)
            .set("source.url", without.as_str())
            .set("source.password", PASSWORD),
        by_file
            .set("source.url", without.as_str())
            .set("source.password_file", file.to_str().unwrap()),
    ] {
        rowhook.setup().await;
    }
    let rowhook = Rowhook::new(&database);
    assert_eq!(over_tcp(&rowhook, &client).await, Some(true));
}

async fn database() -> (Database, Client) {
    let database = Database::create().await;
    let client = database.client().await;
    let sql = "create table t (id int primary key)";
    client.batch_execute(sql).await.unwrap();
    (database, client)
}

/// Captures a row, and tells whether all of the daemon's sessions came over TCP; `None` if only
/// some did.
async fn over_tcp(rowhook: &Rowhook, client: &Client) -> Option<bool> {
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    wait_for_logged(client, 1).await;
    let sql = "select count(*), count(client_addr) from pg_stat_activity
                where datname = current_database() and application_name like 'rowhook%'";
    let sessions = async || -> (i64, i64) {
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    wait_for(client, "three sessions", async || sessions().await.0 >= 3).await;
    let (sessions, over_tcp) = sessions().await;
    match over_tcp {
        0 => Some(false),
        _ if over_tcp == sessions => Some(true),
        _ => None,
    }
}

#[tokio::test]
async fn each_tls_mode_gets_what_it_asks_for_on_every_session() {
    let secured = Secured::start(&["host all all 127.0.0.1/32 scram-sha-256"]).await;
    let ca = secured.authority.text("ca.crt");
    for (mode, encrypted) in [
        ("disable", false),
        ("prefer", true),
        ("require", true),
        ("verify-ca", true),
        ("verify-full", true),
    ] {
        let mut rowhook = secured.rowhook().set("source.tls.mode", mode);
        if mode.starts_with("verify") {
            rowhook = rowhook.set("source.tls.ca_file", ca.as_str());
        }
        let used = secured.captures(&rowhook).await;
        assert_eq!(used, Some(encrypted), "{mode}");
    }
    a_server_that_is_not_the_right_one_is_refused(&secured).await;
}

/// Shares the server with the test above.
async fn a_server_that_is_not_the_right_one_is_refused(secured: &Secured) {
    let with = |rowhook: Rowhook, mode: &str, ca: &str| {
        rowhook
            .set("source.tls.mode", mode)
            .set("source.tls.ca_file", ca)
    };
    let missing = with(secured.rowhook(), "verify-full", "/no/such/ca.crt");
    let said = missing.fail(&["run"], 78).await;
    assert!(said.contains("/no/such/ca.crt"), "{said}");
    // Who names an authority wants it used, even with `require`.
    let other = Authority::new();
    for mode in ["require", "verify-ca", "verify-full"] {
        is_refused(&with(secured.rowhook(), mode, &other.text("ca.crt"))).await;
    }
    // The same authority, and a name that is not the server's.
    let ca = secured.authority.text("ca.crt");
    secured.authority.sign("elsewhere");
    secured.serve("elsewhere");
    secured
        .client
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    is_refused(&with(secured.rowhook(), "verify-full", &ca)).await;
}

async fn is_refused(rowhook: &Rowhook) {
    for (command, code) in [("run", 70), ("setup", 70), ("check", 1)] {
        let said = rowhook.fail(&[command], code).await;
        assert!(said.contains("certificate"), "{said}");
        assert!(said.contains("sslmode"), "{said}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_a_login() {
    let secured = Secured::start(&[
        "hostssl all by_certificate 127.0.0.1/32 cert",
        "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full",
    ])
    .await;
    let sql = "create role by_certificate superuser login";
    secured.client.batch_execute(sql).await.unwrap();
    let (authority, cluster) = (&secured.authority, &secured.database.cluster);
    authority.sign("by_certificate");
    let url = format!(
        "postgres://by_certificate@localhost:{}/{}",
        cluster.port(),
        secured.database.name
    );
    let rowhook = || {
        secured
            .rowhook()
            .set("source.url", url.as_str())
            .set("source.tls.mode", "verify-full")
            .set("source.tls.ca_file", authority.text("ca.crt"))
    };
    let with_certificate = |rowhook: Rowhook| {
        rowhook
            .set("source.tls.cert_file", authority.text("by_certificate.crt"))
            .set("source.tls.key_file", authority.text("by_certificate.key"))
    };
    let used = secured.captures(&with_certificate(rowhook())).await;
    assert_eq!(used, Some(true));
    // Without one, with TLS or without: not let in.
    rowhook().fail(&["run"], 70).await;
    let said = rowhook()
        .set("source.tls.mode", "disable")
        .fail(&["run"], 70)
        .await;
    assert!(said.contains("pg_hba.conf"), "{said}");

    // A password and a certificate of the same name, both.
    authority.sign("postgres");
    let by_password = secured.database.url().replace("127.0.0.1", "localhost");
    let rowhook = rowhook().set("source.url", by_password);
    rowhook.fail(&["run"], 70).await;
    let rowhook = rowhook
        .set("source.tls.cert_file", authority.text("postgres.crt"))
        .set("source.tls.key_file", authority.text("postgres.key"));
    assert_eq!(secured.captures(&rowhook).await, Some(true));
}
