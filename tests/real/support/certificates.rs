//! A certificate authority, a server's certificate and a client's, made for the test and gone with it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use super::{Folder, MASTER};

/// Makes `tls/ca.pem`, `tls/server.pem` and `tls/server.key` for localhost, mail.example.org and
/// autoconfig.example.org, `tls/client.pem` and
/// `tls/client.key` for the service account.
pub(super) fn make(folder: &Folder) {
    let tls = folder.sub("tls");
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&tls).output().unwrap();
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    };
    fs::write(
        tls.join("leaf.ext"),
        "subjectAltName=DNS:localhost,DNS:mail.example.org,DNS:autoconfig.example.org,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    )
    .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=test-authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile leaf.ext -out server.pem",
    );
    openssl(&format!("req {key} -keyout client.key -out client.csr -subj /CN={MASTER}"));
    fs::write(tls.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    openssl(
        "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile client.ext -out client.pem",
    );
    // Read by the mail servers' own users; the folder is private to this machine and lives for seconds.
    fs::set_permissions(tls.join("server.key"), Permissions::from_mode(0o644)).unwrap();
}
