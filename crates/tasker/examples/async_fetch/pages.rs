//! DECISION: what each page holds, and what its server does to whoever asks for it.

use std::time::Duration;

/// More than any page's trouble, so that every page that exists is fetched in the end.
pub(crate) const MAX_RETRIES: u32 = 3;

/// How the server treats a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends it.
    Fine,
    /// Takes its time, and sends it.
    Slow,
    /// Answers 503 to so many visits, and then sends it.
    Busy { visits: u32 },
    /// Breaks off in the middle for so many visits, and then sends it.
    Torn { visits: u32 },
    /// 404: there is no such page.
    Missing,
    /// 500: the page has a bug, whoever asks.
    Broken,
}

impl Manner {
    /// What it is called, of all that are [called](Self::NAMES) something.
    pub(crate) fn name(self) -> &'static str {
        let [fine, slow, busy, torn, missing, broken] = Self::NAMES;
        match self {
            Self::Fine => fine,
            Self::Slow => slow,
            Self::Busy { .. } => busy,
            Self::Torn { .. } => torn,
            Self::Missing => missing,
            Self::Broken => broken,
        }
    }

    /// The names of all, in the order in which they are shown.
    pub(crate) const NAMES: [&str; 6] =
        ["fine", "slow", "503 at first", "torn off at first", "missing, 404", "broken, 500"];

    /// How often it has to be tried again, if nothing else goes wrong.
    pub(crate) fn retries(self) -> u32 {
        match self {
            Self::Busy { visits } | Self::Torn { visits } => visits,
            Self::Fine | Self::Slow | Self::Missing | Self::Broken => 0,
        }
    }
}

/// Every page there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages {
    pub(crate) count: u32,
    pub(crate) seed: u64,
}

impl Pages {
    /// How this page is treated: the same every time with the same seed.
    pub(crate) fn manner(self, page: u32) -> Manner {
        let mut chance = self.chance(page);
        let visits = chance.u32(1..MAX_RETRIES);
        match chance.u32(0..100) {
            0..4 => Manner::Missing,
            4..6 => Manner::Broken,
            6..14 => Manner::Busy { visits },
            14..22 => Manner::Torn { visits },
            22..32 => Manner::Slow,
            _ => Manner::Fine,
        }
    }

    /// How often pages have to be tried again, if nothing else goes wrong.
    pub(crate) fn retries(self) -> u64 {
        (0..self.count).map(|page| u64::from(self.manner(page).retries())).sum()
    }

    /// How long its server thinks about it.
    pub(crate) fn delay(self, page: u32) -> Duration {
        let mut chance = self.chance(page);
        Duration::from_millis(match self.manner(page) {
            Manner::Slow => chance.u64(40..80),
            _ => chance.u64(4..16),
        })
    }

    /// What it holds; how much differs from page to page.
    pub(crate) fn text(self, page: u32) -> String {
        format!("page {page}\n").repeat(self.chance(page).usize(2..2_000))
    }

    fn chance(self, page: u32) -> fastrand::Rng {
        // Neighbours must not look alike, which seeds that differ in a bit or two may.
        let page = (u64::from(page) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        fastrand::Rng::with_seed(self.seed.wrapping_add(page))
    }
}
