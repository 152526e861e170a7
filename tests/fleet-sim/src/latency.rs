//! Distributions of latencies: the measured one of the engine, and histograms of what was simulated.

use crate::queue::Time;

const MEASURED: &str = include_str!("../data/redis-latency.txt");

/// A measured distribution: latencies in microseconds by rising quantiles.
pub struct Distribution {
    points: Vec<(f64, f64)>,
}

impl Distribution {
    /// Returns the distribution in `data/redis-latency.txt`.
    pub fn measured() -> Self {
        Self::parse(MEASURED).expect("data/redis-latency.txt has rising quantiles from 0 to 1")
    }

    /// Parses lines of a quantile and a latency in microseconds. `None` unless both rise and the quantiles reach from 0 to 1.
    pub fn parse(data: &str) -> Option<Self> {
        let lines = data.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let points = lines.map(|line| {
            let (quantile, latency) = line.split_once(' ')?;
            Some((quantile.parse().ok()?, latency.trim().parse().ok()?))
        });
        let points: Vec<(f64, f64)> = points.collect::<Option<_>>()?;
        let rises = points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let is_whole = points.first()?.0 == 0.0 && points.last()?.0 == 1.0;
        (rises && is_whole).then_some(Distribution { points })
    }

    /// Returns the latency at a quantile, interpolated between its neighbours.
    pub fn at(&self, quantile: f64) -> Time {
        let after = self.points.partition_point(|point| point.0 < quantile).clamp(1, self.points.len() - 1);
        let ((below, low), (above, high)) = (self.points[after - 1], self.points[after]);
        let share = ((quantile - below) / (above - below)).clamp(0.0, 1.0);
        (low + share * (high - low)) as Time
    }
}

/// Counts values in buckets whose limits grow by 5 %.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: Time,
}

const GROWTH: f64 = 1.05;

impl Histogram {
    /// Returns an empty histogram.
    pub fn new() -> Self {
        Histogram { counts: vec![0; 512], count: 0, max: 0 }
    }

    /// Counts a value.
    pub fn record(&mut self, value: Time) {
        let bucket = (value.max(1) as f64).ln() / GROWTH.ln();
        let last = self.counts.len() - 1;
        self.counts[(bucket as usize).min(last)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Returns the upper limit of the bucket that has the quantile; 0 without values.
    pub fn quantile(&self, quantile: f64) -> Time {
        let wanted = (quantile * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return (GROWTH.powi(bucket as i32 + 1) as Time).min(self.max);
            }
        }
        self.max
    }

    /// Returns the largest value; 0 without values.
    pub fn max(&self) -> Time {
        self.max
    }

    /// Returns how many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_distribution_is_well_formed() {
        let measured = Distribution::measured();
        assert!(measured.at(0.0) > 0 && measured.at(0.5) < measured.at(0.99) && measured.at(0.99) <= measured.at(1.0));
    }

    #[test]
    fn quantiles_are_interpolated() {
        let distribution = Distribution::parse("# comment\n0 100\n0.5 200\n1 1000\n").unwrap();
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|q| distribution.at(q)), [100, 150, 200, 600, 1000]);
        for malformed in ["", "0 1\n", "0 1\n0.5 2\n", "0 2\n1 1\n", "0 1\n1 x\n", "0.1 1\n1 2\n"] {
            assert!(Distribution::parse(malformed).is_none(), "{malformed:?}");
        }
    }

    #[test]
    fn histogram_has_quantiles_within_its_growth() {
        let mut histogram = Histogram::new();
        (1..=10_000).for_each(|value| histogram.record(value));
        for (quantile, exact) in [(0.5, 5_000.0), (0.99, 9_900.0)] {
            let found = histogram.quantile(quantile) as f64;
            assert!((exact..=exact * GROWTH * 1.01).contains(&found), "{quantile}: {found}");
        }
        assert_eq!((histogram.quantile(1.0), histogram.max(), histogram.count()), (10_000, 10_000, 10_000));
        assert_eq!(Histogram::new().quantile(0.5), 0);
    }
}
