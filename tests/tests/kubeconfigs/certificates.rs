//! Keys and certificates of many kinds, made by openssl.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs openssl in `directory`; it must succeed.
#[track_caller]
pub(crate) fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' ').map(|word| word.replace('+', " ")))
        .current_dir(directory)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {told}");
}

/// The keys and certificates of the tests, by name.
pub(crate) fn make_certificates(directory: &Path) {
    let run = |arguments: &str| openssl(directory, arguments);
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost,IP:0:0:0:0:0:0:0:1";
    let curve = |name: &str| format!("-newkey ec -pkeyopt ec_paramgen_curve:{name} -nodes");
    let p256 = curve("P-256");
    // openssl's default: a serving certificate that is its own CA.
    run(&format!(
        "req -x509 {p256} -keyout self.key -out self.crt -subj /CN=self -addext {names} -days 30"
    ));
    run(&format!(
        "req -x509 {p256} -keyout leaf-only.key -out leaf-only.crt -subj /CN=l -addext {names} -addext basicConstraints=critical,CA:FALSE -days 30"
    ));
    run(&format!(
        "req -x509 {p256} -keyout no-san.key -out no-san.crt -subj /CN=localhost -days 30"
    ));
    run(&format!(
        "req -x509 {p256} -keyout other-name.key -out other-name.crt -subj /CN=o -addext subjectAltName=DNS:other.example -days 30"
    ));
    run(&format!(
        "req -x509 {p256} -keyout client-only.key -out client-only.crt -subj /CN=c -addext {names} -addext extendedKeyUsage=clientAuth -days 30"
    ));
    // A CA, an intermediate one, and what they sign.
    run(&format!(
        "req -x509 {p256} -keyout ca.key -out ca.crt -subj /CN=ca -days 30"
    ));
    run(&format!(
        "req -x509 {p256} -keyout other-ca.key -out other-ca.crt -subj /CN=other -days 30"
    ));
    let sign = |name: &str, key: &str, issuer: &str, extensions: &str, days: &str| {
        run(&format!(
            "req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        fs::write(directory.join("extensions"), extensions).unwrap();
        run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -CAcreateserial -extfile extensions -out {name}.crt {days}"
        ));
    };
    let server = format!("{names}\nbasicConstraints=CA:FALSE\n");
    let days = "-days 30";
    sign("signed", &p256, "ca", &server, days);
    sign(
        "intermediate",
        &p256,
        "ca",
        "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n",
        days,
    );
    sign("below", &p256, "intermediate", &server, days);
    sign(
        "signed-ca",
        &p256,
        "ca",
        &format!("{names}\nbasicConstraints=CA:TRUE\n"),
        days,
    );
    sign(
        "below-ca",
        &p256,
        "intermediate",
        &format!("{names}\nbasicConstraints=CA:TRUE\n"),
        days,
    );
    sign(
        "any-purpose",
        &p256,
        "ca",
        &format!("{server}extendedKeyUsage=anyExtendedKeyUsage\n"),
        days,
    );
    in_the_past(directory, "expired", "ca", &server);
    sign("rsa", "-newkey rsa:2048 -nodes", "ca", &server, days);
    sign("p384", &curve("P-384"), "ca", &server, days);
    sign("ed25519", "-newkey ed25519 -nodes", "ca", &server, days);
    in_the_past(
        directory,
        "old-ca",
        "old-ca",
        "basicConstraints=critical,CA:TRUE\n",
    );
    sign("below-old", &p256, "old-ca", &server, days);
    // Clients: openssl makes version 1 where there are no extensions.
    for (name, key) in [
        ("v1", p256.as_str()),
        ("v1-rsa", "-newkey rsa:2048 -nodes"),
        ("client-p521", curve("P-521").as_str()),
        ("client-rsa1024", "-newkey rsa:1024 -nodes"),
    ] {
        run(&format!(
            "req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 30"
        ));
    }
    run("ec -in v1.key -out sec1.key");
    run("ec -in v1.key -out old-encrypted.key -aes128 -passout pass:a");
    run("pkey -in v1.key -out encrypted.key -aes128 -passout pass:a");
    run("rsa -in v1-rsa.key -out pkcs1.key -traditional");
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let write = |name: &str, text: String| fs::write(directory.join(name), text).unwrap();
    write(
        "parameters.key",
        format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
            read("sec1.key")
        ),
    );
    write("both.pem", format!("{}{}", read("v1.key"), read("v1.crt")));
    write(
        "chain.crt",
        format!("{}{}", read("below.crt"), read("intermediate.crt")),
    );
    write(
        "chain-ca.crt",
        format!("{}{}", read("below-ca.crt"), read("intermediate.crt")),
    );
    write(
        "bundle.crt",
        format!(
            "subject=/CN=x\n{}# noise\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{}",
            read("other-ca.crt"),
            read("ca.crt")
        ),
    );
    write(
        "leaf-and-intermediate.crt",
        format!("{}{}", read("ca.crt"), read("intermediate.crt")),
    );
    write("empty", String::new());
    write("garbage", "garbage\n".to_owned());
    write("token", "hunter2\n".to_owned());
}

/// A certificate that was valid in 2020, signed by `issuer`, or by itself.
fn in_the_past(directory: &Path, name: &str, issuer: &str, extensions: &str) {
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n";
    fs::write(directory.join("ca.cnf"), config).unwrap();
    fs::write(directory.join("index"), "").unwrap();
    fs::write(directory.join("serial"), "01\n").unwrap();
    fs::write(directory.join("extensions"), extensions).unwrap();
    let new = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        directory,
        &format!("{new} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
    );
    let by = if name == issuer {
        format!("-selfsign -keyfile {name}.key")
    } else {
        format!("-cert {issuer}.crt -keyfile {issuer}.key")
    };
    openssl(
        directory,
        &format!(
            "ca -batch -notext -config ca.cnf {by} -in {name}.csr -out {name}.crt -extfile extensions -startdate 20200101000000Z -enddate 20210101000000Z"
        ),
    );
}

/// A path as text.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
