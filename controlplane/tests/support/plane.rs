//! A control plane in the process of the test.

use sonde_controlplane::server::{ControlPlane, Options};
use sonde_proto::v1::config_service_client::ConfigServiceClient;
use sonde_proto::v1::exporters_service_client::ExportersServiceClient;
use sonde_proto::v1::flows_service_client::FlowsServiceClient;
use sonde_proto::v1::status_service_client::StatusServiceClient;
use std::path::Path;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// A control plane in this process, on a port of its own, and a connection to it.
pub(crate) struct Plane {
    pub(crate) channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Plane {
    pub(crate) async fn start(instance: &str, home: &Path) -> Self {
        let options = Options {
            api: vec!["127.0.0.1:0".parse().expect("an address")],
            connections_max: 256,
            allow_remote: false,
            instance: instance.into(),
            state_dir: Some(home.join("state")),
            run_dir: Some(home.join("run")),
        };
        let plane = ControlPlane::start(&options).await.expect("starts");
        let uri = format!("http://{}", plane.addresses()[0]);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(plane.serve(async { stopped.await.unwrap_or_default() }));
        let channel = Channel::from_shared(uri).expect("a uri").connect().await.expect("connects");
        Self { channel, stop, serving }
    }

    pub(crate) async fn stop(self) {
        drop(self.channel);
        self.stop.send(()).expect("it runs");
        self.serving.await.expect("no panic").expect("no error");
    }

    pub(crate) fn config(&self) -> ConfigServiceClient<Channel> {
        ConfigServiceClient::new(self.channel.clone())
    }

    pub(crate) fn status(&self) -> StatusServiceClient<Channel> {
        StatusServiceClient::new(self.channel.clone())
    }

    pub(crate) fn flows(&self) -> FlowsServiceClient<Channel> {
        FlowsServiceClient::new(self.channel.clone())
    }

    pub(crate) fn exporters(&self) -> ExportersServiceClient<Channel> {
        ExportersServiceClient::new(self.channel.clone())
    }
}
