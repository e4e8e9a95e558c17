//! The words of canonical bytes that version records and journal pieces share
//! (`docs/format.md`, conventions and §6).

use heirloom_core::{Provenance, Ttl};

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Writes canonical bytes.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.raw(text.as_bytes());
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.raw(&[0]),
            Some(value) => {
                self.raw(&[1]);
                put(self, value);
            }
        }
    }

    pub(crate) fn list<T>(&mut self, values: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.varint(values.len() as u64);
        for value in values {
            put(self, value);
        }
    }

    pub(crate) fn lifetime(&mut self, ttl: Ttl) {
        match ttl {
            Ttl::Inherit => self.raw(&[0]),
            Ttl::Never => self.raw(&[1]),
            Ttl::Seconds(seconds) => {
                self.raw(&[2]);
                self.varint(seconds);
            }
        }
    }

    pub(crate) fn provenance(&mut self, provenance: &Provenance) {
        self.optional(provenance.host.as_ref(), |out, text| out.text(text));
        self.list(&provenance.command, |out, text| out.text(text));
        self.optional(provenance.git_commit.as_ref(), |out, text| out.text(text));
        self.optional(provenance.git_remote.as_ref(), |out, text| out.text(text));
        self.raw(&[match provenance.git_dirty {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        }]);
    }
}

/// Reads canonical bytes and refuses all others.
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("bytes after the last field")) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        if length > self.0.len() {
            return Err(Malformed("cut short"));
        }
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn raw<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.raw()?))
    }

    pub(crate) fn id63(&mut self) -> Result<u64, Malformed> {
        let id = u64::from_le_bytes(self.raw()?);
        if id >> 63 == 0 { Ok(id) } else { Err(Malformed("id of 64 bits")) }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.raw::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed("unknown flag")),
        }
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..).step_by(7).take(10) {
            let [byte] = self.raw()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Malformed("varint not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("varint above 64 bits"))
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed("cut short"))?;
        let bytes = self.take(length)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| Malformed("text is not UTF-8"))?.to_owned())
    }

    pub(crate) fn name<T, E>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Malformed> {
        parse(&self.text()?).map_err(|_| Malformed("invalid name"))
    }

    pub(crate) fn optional<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.raw::<1>()? {
            [0] => Ok(None),
            [1] => get(self).map(Some),
            _ => Err(Malformed("unknown option flag")),
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        mut get: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.varint()?;
        // Each element has at least one byte, so a lying count allocates nothing.
        if count > self.0.len() as u64 {
            return Err(Malformed("cut short"));
        }
        (0..count).map(|_| get(self)).collect()
    }

    pub(crate) fn ascending<T: Ord>(
        &mut self,
        get: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.ascending_by(get, |item, other| item < other)
    }

    /// A list in which each element comes before the next.
    pub(crate) fn ascending_by<T>(
        &mut self,
        get: impl FnMut(&mut Self) -> Result<T, Malformed>,
        before: impl Fn(&T, &T) -> bool,
    ) -> Result<Vec<T>, Malformed> {
        let list = self.list(get)?;
        if list.windows(2).all(|pair| before(&pair[0], &pair[1])) {
            Ok(list)
        } else {
            Err(Malformed("list not ascending"))
        }
    }

    pub(crate) fn lifetime(&mut self) -> Result<Ttl, Malformed> {
        Ok(match self.raw::<1>()? {
            [0] => Ttl::Inherit,
            [1] => Ttl::Never,
            [2] => Ttl::Seconds(self.varint()?),
            _ => return Err(Malformed("unknown lifetime")),
        })
    }

    pub(crate) fn provenance(&mut self) -> Result<Provenance, Malformed> {
        Ok(Provenance {
            host: self.optional(Self::text)?,
            command: self.list(Self::text)?,
            git_commit: self.optional(Self::text)?,
            git_remote: self.optional(Self::text)?,
            git_dirty: match self.raw::<1>()? {
                [0] => None,
                [1] => Some(false),
                [2] => Some(true),
                _ => return Err(Malformed("unknown dirty flag")),
            },
        })
    }
}
