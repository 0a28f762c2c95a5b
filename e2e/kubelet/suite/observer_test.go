// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"sort"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// observer remembers the last status that the runtime gave of every container it ever listed. kubelet removes
// the records of dead containers (all but the newest per name, and every one of a deleted pod): what a test
// wants to know of them has to be read before that.
type observer struct {
	mutex  sync.Mutex
	status map[string]*cri.ContainerStatus
	labels map[string]map[string]string
	cancel context.CancelFunc
	ended  chan struct{}
}

func newObserver() *observer {
	ctx, cancel := context.WithCancel(context.Background())
	o := &observer{status: map[string]*cri.ContainerStatus{}, labels: map[string]map[string]string{},
		cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		for ctx.Err() == nil {
			o.look(ctx)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return o
}

func (o *observer) stop() { o.cancel(); <-o.ended }

func (o *observer) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	list, err := target.Client.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return // kubelet complains loudly enough
	}
	for _, c := range list.Containers {
		o.mutex.Lock()
		known := o.status[c.Id]
		o.mutex.Unlock()
		if known != nil && known.State == c.State && c.State == cri.ContainerState_CONTAINER_EXITED {
			continue
		}
		reply, err := target.Client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: c.Id})
		if err != nil || reply.Status == nil {
			continue // removed in between
		}
		o.mutex.Lock()
		o.status[c.Id], o.labels[c.Id] = reply.Status, c.Labels
		o.mutex.Unlock()
	}
}

// of returns the containers called `container` of the pod called `pod`, the oldest first.
func (o *observer) of(pod, container string) []*cri.ContainerStatus {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	var found []*cri.ContainerStatus
	for id, status := range o.status {
		if o.labels[id]["io.kubernetes.pod.name"] == nodePod(pod) && status.Metadata.GetName() == container {
			found = append(found, status)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].CreatedAt < found[j].CreatedAt })
	return found
}

// dead is `of`, the exited ones only.
func (o *observer) dead(pod, container string) []*cri.ContainerStatus {
	var found []*cri.ContainerStatus
	for _, status := range o.of(pod, container) {
		if status.State == cri.ContainerState_CONTAINER_EXITED {
			found = append(found, status)
		}
	}
	return found
}

// running returns the running container of that name, or nil.
func (o *observer) running(pod, container string) *cri.ContainerStatus {
	all := o.of(pod, container)
	if len(all) == 0 || all[len(all)-1].State != cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}
	return all[len(all)-1]
}
