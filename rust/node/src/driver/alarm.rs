use std::io;
use std::time::Duration;

use mpreg_types::Time;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::clock::Clock;

/// Wakes a driver at a time: a timer of the kernel. A timer of tokio wakes its thread once more on the way when it is set
/// for longer than 64 ms, and once for being set; an idle node does little else than wait for the next probe.
#[derive(Debug)]
pub(super) struct Alarm {
    clock: Clock,
    /// Read like a pipe: that is what tokio can watch without unsafe code.
    timer: Receiver,
    set: Option<Time>,
}

impl Alarm {
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { clock, timer: Receiver::from_owned_fd_unchecked(timer)?, set: None })
    }

    /// Ends at `wake`; never if there is none.
    pub(super) async fn until(&mut self, wake: Option<Time>) {
        let Some(wake) = wake else { return std::future::pending().await };
        loop {
            let left = wake.since(self.clock.now());
            // A node that cannot be woken in time goes on all the same, late or too often.
            if left.is_zero() || (self.set != Some(wake) && self.arm(left).is_err()) {
                self.set = None;
                return;
            }
            self.set = Some(wake);
            // How often it rang, in eight bytes. Room for more tells tokio that nothing is left, without a second read.
            if self.timer.read(&mut [0; 16]).await.is_err() {
                return;
            }
        }
    }

    fn arm(&self, after: Duration) -> io::Result<()> {
        let it_value = Timespec::try_from(after).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_at_its_time_also_when_it_was_set_for_another_before() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock).unwrap();
        for _ in 0..3 {
            let (far, near) = (clock.now() + Duration::from_hours(1), clock.now() + Duration::from_millis(2));
            tokio::select! {
                biased;
                () = alarm.until(Some(far)) => panic!("an hour is not over"),
                () = std::future::ready(()) => {}
            }
            alarm.until(Some(near)).await;
            assert!(clock.now() >= near);
            alarm.until(Some(near)).await;
        }
    }
}
