//! Two network namespaces with a cable between them, which only root may have.

use std::process::Command;

/// The addresses of the two ends.
pub const AGENT: &str = "10.203.7.1";
pub const RECEIVER: &str = "10.203.7.2";

/// Two network namespaces with a cable between them, which are gone when this is dropped.
pub struct Network {
    /// Of their names, so that another run may have its own.
    number: u32,
}

impl Network {
    pub fn new() -> Network {
        let network = Network { number: std::process::id() };
        for words in [
            "netns add a-N",
            "netns add r-N",
            "link add va netns a-N type veth peer name vr netns r-N",
            &format!("-n a-N addr add {AGENT}/24 dev va"),
            &format!("-n r-N addr add {RECEIVER}/24 dev vr"),
            "-n a-N link set va up",
            "-n r-N link set vr up",
            "-n r-N link set lo up",
        ] {
            network.run("ip", words);
        }
        network
    }

    /// A command that runs at the end `a`, the agent's, or `r`, the receiver's.
    pub fn within(&self, end: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{end}-{}", self.number)]);
        command
    }

    /// The receiver's end is pulled (`down`) or plugged (`up`); the agent's interface stays up, without a carrier.
    #[allow(dead_code, reason = "each bench needs its own")]
    pub fn cable(&self, state: &str) {
        self.run("ip", &format!("-n r-N link set vr {state}"));
    }

    /// What the agent sends goes no faster than this, and waits for a fifth of a second at most.
    #[allow(dead_code, reason = "each bench needs its own")]
    pub fn narrow(&self, rate: &str) {
        self.run("tc", &format!("-n a-N qdisc add dev va root tbf rate {rate} burst 4kb latency 200ms"));
    }

    fn run(&self, program: &str, words: &str) {
        let words = words.replace("-N", &format!("-{}", self.number));
        let status = Command::new(program).args(words.split(' ')).status().expect("Debian's iproute2");
        assert!(status.success(), "{program} {words}; is it root who runs this?");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.run("ip", "netns del a-N");
        self.run("ip", "netns del r-N");
    }
}
