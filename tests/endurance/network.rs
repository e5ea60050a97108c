//! Two network namespaces with a virtual cable between them. Only root can create them.

use std::process::Command;

/// The addresses of the two ends.
pub const AGENT: &str = "10.203.7.1";
pub const RECEIVER: &str = "10.203.7.2";

/// Two network namespaces with a virtual cable between them, removed when dropped.
pub struct Network {
    /// Part of the namespaces' names, so that several runs can coexist.
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

    /// Returns a command that runs at the agent's end, `a`, or the receiver's end, `r`.
    pub fn within(&self, end: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{end}-{}", self.number)]);
        command
    }

    /// Unplugs (`down`) or plugs (`up`) the receiver's end. The agent's interface stays up, without a carrier.
    #[allow(dead_code, reason = "only link_cuts uses it")]
    pub fn cable(&self, state: &str) {
        self.run("ip", &format!("-n r-N link set vr {state}"));
    }

    /// Limits what the agent sends to `rate`, with at most 200 ms of queueing.
    #[allow(dead_code, reason = "only the bench `late` uses it")]
    pub fn limit(&self, rate: &str) {
        self.run("tc", &format!("-n a-N qdisc add dev va root tbf rate {rate} burst 4kb latency 200ms"));
    }

    fn run(&self, program: &str, words: &str) {
        let words = words.replace("-N", &format!("-{}", self.number));
        let status = Command::new(program).args(words.split(' ')).status();
        let status = status.unwrap_or_else(|error| panic!("{program} (package iproute2): {error}"));
        assert!(status.success(), "{program} {words} failed; this needs root");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.run("ip", "netns del a-N");
        self.run("ip", "netns del r-N");
    }
}
