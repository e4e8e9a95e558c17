//! Which addresses are private, and a resolver that refuses those.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is not on the public Internet: private, loopback,
/// link-local, shared (RFC 6598), benchmarking, multicast, reserved or
/// unspecified; also when wrapped in an IPv6 address (mapped, NAT64, 6to4).
/// Follows IANA's special-purpose address registries.
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 =
        |high: u16, low: u16| is_private_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        // Unspecified, loopback, and the old IPv4-compatible form.
        (0, 0, 0, 0, 0, 0) => true,
        (0, 0, 0, 0, 0, 0xffff) => v4(g, h),
        (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0x64, 0xff9b, 1, ..) => true,
        (0x2002, ..) => v4(b, c),
        // Unique local, link-local, site-local, multicast.
        _ => a & 0xfe00 == 0xfc00 || a & 0xff80 == 0xfe80 || a & 0xff00 == 0xff00,
    }
}

/// Whether the URL's host says by itself that it is private.
pub(super) fn is_private_literal(url: &Url, is_private: fn(IpAddr) -> bool) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(address) => is_private(address),
        Err(_) => {
            let name = host.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost")
                || name.to_ascii_lowercase().ends_with(".localhost")
        }
    }
}

/// A name resolved to an address that may not be reached by way of a redirect.
#[derive(Debug)]
pub(super) struct PrivateAddress;

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name resolves to a private address")
    }
}

impl Error for PrivateAddress {}

/// Whether an error was caused by [`PrivateAddress`].
pub(super) fn is_refused_address(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<PrivateAddress>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Resolves names as the system does but fails if any address is private. The
/// check lies here, where the connection takes its address from, so that a name
/// cannot resolve to something else a moment later.
pub(super) struct PublicOnly(pub(super) fn(IpAddr) -> bool);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_private = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_private(address.ip())) {
                return Err(PrivateAddress.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_public_addresses() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.170",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::7f00:1",
        ] {
            assert!(is_private_address(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(!is_private_address(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn hosts_that_tell_by_themselves() {
        let literal = |url: &str| is_private_literal(&Url::parse(url).unwrap(), is_private_address);
        for private in [
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://[::1]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
        ] {
            assert!(literal(private), "{private}");
        }
        assert!(!literal("http://example.org/") && !literal("http://localhost.example.org/"));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_not_connected_to() {
        let get = async |is_private: fn(IpAddr) -> bool| {
            let builder =
                reqwest::Client::builder().no_proxy().dns_resolver(PublicOnly(is_private));
            let client = builder.build().unwrap();
            // Nothing listens on port 1, so that an attempt fails in another way.
            client.get("http://localhost:1/").send().await.unwrap_err()
        };
        assert!(is_refused_address(&get(is_private_address).await));
        assert!(!is_refused_address(&get(|_| false).await));
    }
}
